"""Describe media in words, which the Llama part reads before it has towers.

Half of the descriptions have the form of slots. The words of a phrase are stretched, with gaps
between them, as in sound. A picture is the grid of its patches; a patch of a thing is the sum of
the thing's words in both languages, as it shows several aspects at once and in no language. Words
have different weights, as in the output of a projector.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator

from mmmodal.authoring.media import Audio, Image
from mmmodal_playground.build.vision import GRID
from mmmodal_playground.dialogues import Clip, Dialogue, Medium
from mmmodal_playground.things import TALKS, Thing

__all__ = ["BLANK", "SUM", "described", "in_slots", "in_words", "in_words_or_slots"]

BLANK = "<|blank|>"
"""A slot without content."""

SUM = re.compile(r"<\|sum ([^|]*)\|>")
"""The weighted sum of words at one position: "<|sum 0.9 red, 0.5 star|>"."""

WEIGHTS = 0.4, 1.2


def in_words(medium: Medium, language: str) -> str:
    """Return a description of a medium as a sentence."""
    if isinstance(medium, Clip):
        return f"{Audio.begin}{medium.phrase.text}{Audio.end}"
    return f"{Image.begin}{medium.mention(TALKS[language])}{Image.end}"


def in_slots(medium: Medium, chance: random.Random) -> str:
    """Return a description in the form of slots: word by word in time, or patch by patch."""
    if isinstance(medium, Clip):
        return "".join((Audio.begin, *_heard(medium, chance), Audio.end))
    cells = [BLANK] * GRID**2
    for shape in medium.shapes:
        covered = [index for index in range(GRID**2) if shape.covers(index, GRID)]
        for index, seen in zip(covered, _glimpses(len(covered), chance), strict=True):
            cells[index] = _sum(_words(shape.thing, seen), chance)
    return "".join((Image.begin, *cells, Image.end))


def _words(thing: Thing, aspects: Iterable[str]) -> list[str]:
    """Return the words of every language for the colour or the shape of a thing."""
    return [talk.words[getattr(thing, each)] for each in aspects for talk in TALKS.values()]


def _heard(clip: Clip, chance: random.Random) -> Iterator[str]:
    """Yield words stretched over slots, with gaps; without, a slot may have the end of a word."""
    before = ""
    yield from [BLANK] * chance.randint(0, 2)
    for word in clip.phrase.text.split():
        between = chance.choice(("gap", "blend", "nothing", "nothing"))
        if before and between == "gap":
            yield BLANK
        if before and between == "blend":
            yield _sum((before, word), chance)
        for _ in range(chance.choice((1, 1, 2))):
            yield _sum((word,), chance)
        before = word
    yield from [BLANK] * chance.randint(0, 1)


def _glimpses(number: int, chance: random.Random) -> list[tuple[str, ...]]:
    """Return the aspects of each patch of a thing: its colour, its shape, or both."""
    whole = ("colour", "shape")
    choices: tuple[tuple[str, ...], ...] = (whole, whole, ("colour",), ("shape",))
    seen = [chance.choice(choices) for _ in range(number)]
    if len({aspect for patch in seen for aspect in patch}) < len(whole):
        seen[chance.randrange(number)] = whole
    return seen


def _sum(words: Iterable[str], chance: random.Random) -> str:
    weighted = (f"{chance.uniform(*WEIGHTS):.2f} {word}" for word in words)
    return f"<|sum {', '.join(weighted)}|>"


def in_words_or_slots(medium: Medium, language: str, chance: random.Random) -> str:
    """Return a description in words for half of all media, in the form of slots for the others."""
    if chance.random() < 0.5:
        return in_words(medium, language)
    return in_slots(medium, chance)


def described(
    dialogue: Dialogue, describe: Callable[[Medium, str], str] = in_words
) -> list[dict[str, str]]:
    """Return a dialogue's messages with its media as words between their markers."""
    messages = []
    for turn in dialogue.turns:
        media = "".join(describe(dialogue.media[i], dialogue.language) for i in turn.media)
        text = media + turn.question if turn.media_first else turn.question + media
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": turn.answer})
    return messages
