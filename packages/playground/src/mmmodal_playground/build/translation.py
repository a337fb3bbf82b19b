"""Train the translator part: a small T5 between English and Malay.

Its pairs are the sentences of the world's dialogues in both languages. As in T5, a prefix sets the
direction: "translate English to Malay: …". Tokens of held-out pairs are excluded from the loss, as
for the language model (`open_pairs.py`).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal_playground.build.fitting import Log, fit
from mmmodal_playground.build.open_pairs import places_left_open
from mmmodal_playground.build.tokenizing import train_tokenizer
from mmmodal_playground.scenes import PLACES
from mmmodal_playground.things import HELD_OUT, TALKS, THINGS, Split
from mmmodal_playground.wording import ANSWERS, QUESTIONS, medium_name

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

__all__ = ["PREFIXES", "Pair", "any_pair", "new_model", "text_tokenizer", "train"]

PREFIXES = {"ms": "translate English to Malay: ", "en": "translate Malay to English: "}
"""The prefix of a text, by target language."""

WIDTH, LAYERS = 128, 3
BATCH = 64
LONGEST = 48  # maximum tokens
IGNORED = -100

Pair = dict[str, str]
"""A sentence in each language."""


def any_pair(split: Split, chance: random.Random) -> Pair:
    """Return a sentence of the world in both languages.

    The things in `HELD_OUT` and a tenth of the other combinations are held out.
    """
    while True:
        seed = chance.getrandbits(32)
        pair = {code: _sentence(code, random.Random(seed)) for code in TALKS}
        if _split(pair) == split:
            return pair


def _split(pair: Pair) -> Split:
    english = pair["en"]
    if any(f"{thing.colour} {thing.shape}" in english for thing in HELD_OUT):
        return "test"
    return "test" if zlib.crc32(english.encode()) % 10 == 0 else "train"


def _sentence(code: str, chance: random.Random) -> str:
    """Return a random sentence in one language; equal states of `chance` give the same sentence."""
    talk, said = TALKS[code], ANSWERS[code]
    a, b = chance.choice(THINGS), chance.choice(THINGS)
    places = sorted(chance.sample(range(len(PLACES)), 2))
    kind = chance.choice(list(QUESTIONS[code]))
    wording, numbers = chance.random(), chance.sample(range(1, 5), 2)
    names = [medium_name(code, chance.choice(("image", "audio")), n) for n in numbers]
    form = chance.choice(("phrase", "question", "question", "scene", "verdict", "thing"))
    if form == "phrase":
        return chance.choice(talk.frames).format(thing=talk.name(a))
    if form == "thing":
        return talk.mention(a)
    if form == "scene":
        x, y = (
            talk.placed.format(one=talk.mention(thing), place=talk.words[PLACES[place]])
            for thing, place in zip((a, b), places, strict=True)
        )
        return talk.both.format(a=x, b=y)
    if form == "verdict":
        left, right, verdict = talk.name(a), talk.name(b), said[a.shares(b)]
        x, y = names
        return said["verdict"].format(a=x, b=y, left=left, right=right, verdict=verdict)
    wordings = QUESTIONS[code][kind]
    return wordings[int(wording * len(wordings))].format(
        n=numbers[0],
        a=names[0],
        b=names[1],
        thing=talk.name(a),
        shape=talk.words[a.shape],
        colour=talk.words[a.colour],
    )


def text_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of both languages."""
    chance = random.Random(0)
    pairs = [any_pair(split, chance) for split in ("train", "test") for _ in range(3000)]
    texts = [text for pair in pairs for text in pair.values()]
    return train_tokenizer(
        [*texts, *(PREFIXES[code] + pairs[0][code] for code in TALKS)],
        {"pad_token": "<pad>", "eos_token": "</s>"},
        model_max_length=LONGEST,
        ends=True,
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> T5ForConditionalGeneration:
    """Return the model with random weights."""
    from transformers import T5Config, T5ForConditionalGeneration

    ends: dict[str, Any] = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    config = T5Config(
        **ends,
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        d_kv=32,
        d_ff=4 * WIDTH,
        num_layers=LAYERS,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
    )
    return T5ForConditionalGeneration(config)


def train(folder: Path, *, seed: int, steps: int, log: Log) -> None:
    """Write the trained model and its tokenizer to `folder`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = text_tokenizer()
    model = new_model(tokenizer)
    chance = random.Random(seed)

    def loss(step: int) -> dict[str, Tensor]:
        pairs = [any_pair("train", chance) for _ in range(BATCH)]
        targets = chance.choices(list(TALKS), k=BATCH)
        sources = [
            PREFIXES[code] + next(text for other, text in pair.items() if other != code)
            for pair, code in zip(pairs, targets, strict=True)
        ]
        wanted = [pair[code] for pair, code in zip(pairs, targets, strict=True)]
        return {"words": _loss(model, tokenizer, sources, wanted)}

    fit("translation", model.parameters(), loss, steps=steps, learning_rate=1e-3, log=log)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _loss(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    sources: Sequence[str],
    wanted: Sequence[str],
) -> Tensor:
    """Return the mean loss of the words, without tokens of held-out pairs."""
    import torch

    inputs = tokenizer(sources, padding=True, return_tensors="pt")
    labels = tokenizer(wanted, padding=True, return_tensors="pt")["input_ids"]
    labels = labels.masked_fill(labels == tokenizer.pad_token_id, IGNORED)
    logits = model(**inputs, labels=labels).logits
    places = [
        (row, position, token)
        for row, text in enumerate(wanted)
        for position, token in _opened(tokenizer, text, labels[row].tolist())
    ]
    if places:
        rows, positions, tokens = (torch.tensor(each) for each in zip(*places, strict=True))
        logits = logits.index_put((rows, positions, tokens), torch.tensor(float("-inf")))
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


def _opened(
    tokenizer: PreTrainedTokenizerFast, text: str, labels: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Return the positions and tokens that would name a held-out pair."""
    things = [thing for thing in THINGS for talk in TALKS.values() if talk.name(thing) in text]
    return places_left_open(tokenizer, labels, [[thing] for thing in things])
