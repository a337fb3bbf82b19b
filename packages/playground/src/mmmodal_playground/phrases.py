"""Spoken phrases: a few words with the name of a thing, in English or Malay."""

from __future__ import annotations

import random
from dataclasses import dataclass

from mmmodal_playground.things import HELD_OUT, TALKS, THINGS, Split, Thing

__all__ = ["Phrase", "all_phrases", "any_phrase"]


@dataclass(frozen=True)
class Phrase:
    """The phrase of one clip."""

    language: str
    frame: int
    thing: Thing

    @property
    def text(self) -> str:
        """The words."""
        talk = TALKS[self.language]
        return talk.frames[self.frame].format(thing=talk.name(self.thing))

    @property
    def split(self) -> Split:
        """The split: the pairs in `HELD_OUT` and a fifth of the other phrases are held out."""
        if self.thing in HELD_OUT:
            return "test"
        return "test" if (self.frame + THINGS.index(self.thing)) % 5 == 0 else "train"


def all_phrases(language: str, split: Split) -> list[Phrase]:
    """Return every phrase of a split."""
    frames = range(len(TALKS[language].frames))
    phrases = (Phrase(language, frame, thing) for thing in THINGS for frame in frames)
    return [phrase for phrase in phrases if phrase.split == split]


def any_phrase(language: str, thing: Thing, split: Split, chance: random.Random) -> Phrase:
    """Return a random phrase of the split about `thing`."""
    phrases = (Phrase(language, frame, thing) for frame in range(len(TALKS[language].frames)))
    return chance.choice([phrase for phrase in phrases if phrase.split == split])
