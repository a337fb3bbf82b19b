"""Byte-level BPE tokenizers in which every word of the world is one token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["train_tokenizer"]


def train_tokenizer(
    sentences: Iterable[str], special: dict[str, str], *, ends: bool = False, **settings: Any
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with each word of `sentences` as a token; other text has smaller pieces.

    `special` are special tokens by their role, such as `pad_token`; they get the first ids. With
    `ends` every text ends with the `eos_token`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=100_000,  # never reached, as there are fewer words
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(dict.fromkeys(special.values())),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(sentences)), trainer)
    if ends:
        end = special["eos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special, **settings
    )
