"""Exclude words of held-out pairs from the loss, so that these pairs are not learned as impossible.

A model that reads of red stars and blue circles, but never of a blue star, would learn that "star"
never follows "blue", and would describe a picture of a blue star wrongly. Where an answer names a
thing, the loss therefore excludes the token that would name a held-out pair: at "red star" the loss
ignores "blue". The same applies to answers that a colour and a shape belong to two things. The
held-out pairs themselves are never in the training data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from mmmodal_playground.things import HELD_OUT, TALKS, Thing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["left_open", "places_left_open"]


def left_open(
    tokenizer: PreTrainedTokenizerFast, shown: Iterable[Sequence[Thing]]
) -> dict[int, frozenset[int]]:
    """Return the excluded tokens for the tokens of answers.

    Args:
        tokenizer: the tokenizer of the answers.
        shown: the things of each medium that answers may name.
    """
    opened: dict[int, frozenset[int]] = defaultdict(frozenset)
    media = list(shown)
    for word, other in {pair for things in media for thing in things for pair in _words(thing)}:
        for lead in ("", " "):
            token, left = _first_difference(tokenizer, lead + word, lead + other)
            opened[token] |= {left}
    if any(_could_be_one(things) for things in media):
        for talk in TALKS.values():
            (conjunction,) = set(talk.both.split()) - {"{a}", "{b}"}
            (token,) = tokenizer.backend_tokenizer.encode(f" {conjunction}").ids
            opened[token] |= {tokenizer.eos_token_id}
    return opened


def places_left_open(
    tokenizer: PreTrainedTokenizerFast, labels: Sequence[int], shown: Iterable[Sequence[Thing]]
) -> Iterator[tuple[int, int]]:
    """Yield positions in a row of labels, with the tokens excluded there."""
    opened = left_open(tokenizer, shown)
    for place, label in enumerate(labels):
        for token in sorted(opened.get(label, ())):
            yield place, token


def _could_be_one(things: Sequence[Thing]) -> bool:
    """Return whether the colour of a thing and the shape of another are a held-out pair."""
    pairs = ((a, b) for a in things for b in things if a != b)
    return any(Thing(a.colour, b.shape) in HELD_OUT for a, b in pairs)


@cache
def _words(thing: Thing) -> tuple[tuple[str, str], ...]:
    """Return each word for a thing with the word that would make it a held-out pair."""
    pairs = []
    for held in HELD_OUT:
        aspect = {"shape": "colour", "colour": "shape"}.get(thing.shares(held))
        if aspect:
            pairs += [
                (talk.words[getattr(thing, aspect)], talk.words[getattr(held, aspect)])
                for talk in TALKS.values()
            ]
    return tuple(pairs)


def _first_difference(tokenizer: PreTrainedTokenizerFast, word: str, other: str) -> tuple[int, int]:
    """Return the first tokens in which two words differ: "segi tiga", "segi empat"."""
    encode = tokenizer.backend_tokenizer.encode
    pairs = zip(encode(word).ids, encode(other).ids, strict=False)
    return next((token, left) for token, left in pairs if token != left)
