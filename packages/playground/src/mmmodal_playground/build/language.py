"""Train the Llama part: a chat model that learns the world from text only.

It reads the dialogues of `mmmodal quickstart` with a description in place of each medium, between
the markers. It therefore knows the dialogues before it is composed, and the composed model only has
to learn projectors whose tokens correspond to the descriptions.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.authoring.media import Audio, Image
from mmmodal_playground.build.describing import BLANK, in_words
from mmmodal_playground.build.fitting import Log, fit
from mmmodal_playground.build.lessons import (
    ASSISTANT,
    END,
    EXERCISES,
    LESSONS,
    USER,
    any_dialogue,
)
from mmmodal_playground.build.rows import IGNORED, Batch, batches
from mmmodal_playground.build.tokenizing import train_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["chat_tokenizer", "new_model", "train"]

WIDTH, LAYERS = 128, 6
POSITIONS = 2048
RATE, RATE_AGAIN = 1.5e-3, 1e-3  # from random weights, from trained weights
NOISE = 0.3  # in a slot, as projectors are not exact
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] not in ['user', 'assistant'] %}"
    "{{ raise_exception('this model knows the roles user and assistant only') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer, with a chat template and the markers of both modalities."""
    chance = random.Random(0)
    sentences = []
    for split in ("train", "test"):
        for _ in range(3000):
            dialogue = any_dialogue(split, chance)
            sentences += [text for t in dialogue.turns for text in (t.question, t.answer)]
            sentences += [in_words(medium, dialogue.language)[7:-8] for medium in dialogue.media]
    tokenizer = train_tokenizer(
        sentences,
        {"pad_token": "<|pad|>", "eos_token": END},
        chat_template=TEMPLATE,
        model_max_length=POSITIONS,
    )
    markers = [Image.begin, Image.end, Audio.begin, Audio.end]
    tokenizer.add_special_tokens({"additional_special_tokens": [USER, ASSISTANT, BLANK, *markers]})
    return tokenizer


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return the model with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        initializer_range=0.05,  # with 0.02 so small a network learns attention very slowly
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train(folder: Path, *, seed: int, steps: int, log: Log, start: Path | None = None) -> None:
    """Write the trained model and its tokenizer to `folder`.

    If `start` is given, training continues from the model there, with the last lesson.

    Raises:
        ValueError: `start` has another vocabulary, from an older version of the world.
    """
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = chat_tokenizer()
    model = LlamaForCausalLM.from_pretrained(start) if start else new_model(tokenizer)
    if model.config.vocab_size != len(tokenizer):
        raise ValueError(f"{start} was trained for another vocabulary; train from the beginning")
    chance = random.Random(seed)
    given = {
        name: batches(partial(make, tokenizer, chance), chance, tokenizer.pad_token_id)
        for name, make in EXERCISES.items()
    }

    def loss(step: int) -> dict[str, Tensor]:
        done = 1.0 if start else (step + 1) / steps
        lesson = next(kinds for until, kinds in LESSONS if done <= until)
        return {
            name: torch.stack([_loss(model, next(given[name])) for _ in range(count)]).mean()
            for name, count in lesson.items()
        }

    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    parameters = model.parameters()
    rate = RATE_AGAIN if start else RATE
    fit("language", parameters, loss, steps=steps, learning_rate=rate, log=log, matrices=matrices)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _loss(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Return the mean loss of the labels."""
    import torch

    embedded = _embed(model.model.embed_tokens.weight, batch, noise=NOISE)
    hidden = model.model(inputs_embeds=embedded).last_hidden_state  # causal: padding has no effect
    wanted = batch.labels[:, 1:]
    taught = wanted != IGNORED
    logits = model.lm_head(hidden[:, :-1][taught])
    return torch.nn.functional.cross_entropy(_open(logits, taught, batch), wanted[taught])


def _open(logits: Tensor, taught: Tensor, batch: Batch) -> Tensor:
    """Return logits with the excluded tokens masked; `logits` has a row for each label."""
    import torch

    if not batch.opened:
        return logits
    rows, positions, tokens = (torch.tensor(each) for each in zip(*batch.opened, strict=True))
    labels = (taught.flatten().cumsum(0) - 1).view_as(taught)[rows, positions - 1]
    never = torch.tensor(float("-inf"))
    return logits.index_put((labels, tokens), never)


def _embed(weight: Tensor, batch: Batch, noise: float = 0.0) -> Tensor:
    """Return the embeddings [B, T, D]; `noise` is added to sums, relative to the size of a word."""
    import torch

    embedded = torch.nn.functional.embedding(batch.ids, weight)
    if not batch.sums:
        return embedded
    rows, positions, tokens, weights = zip(*batch.sums, strict=True)
    starts = [0, *accumulate(map(len, tokens[:-1]))]
    sums = torch.nn.functional.embedding_bag(
        torch.tensor([*chain.from_iterable(tokens)]),
        weight,
        torch.tensor(starts),
        mode="sum",
        per_sample_weights=torch.tensor([*chain.from_iterable(weights)]),
    )
    sums = sums + noise * weight.detach().std() * torch.randn_like(sums)
    return embedded.index_put((torch.tensor(rows), torch.tensor(positions)), sums)
