"""Questions about media, with their true answers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmmodal_playground.phrases import Phrase
from mmmodal_playground.scenes import Scene
from mmmodal_playground.things import SHAPES, Talk, Thing
from mmmodal_playground.wording import ANSWERS

__all__ = ["Question", "about_pair", "about_phrase", "about_scene", "which_of"]


@dataclass(frozen=True)
class Question:
    """One question, before its wording is chosen."""

    kind: str
    """The key in `wording.QUESTIONS`."""

    answer: str
    words: Mapping[str, str] = field(default_factory=dict)
    """The variables of the wording, except for the medium."""


def about_scene(scene: Scene, talk: Talk, chance: random.Random) -> list[Question]:
    """Return questions about the content of a picture and its colours."""
    things = scene.things
    absent = [shape for shape in SHAPES if shape not in {thing.shape for thing in things}]
    present = chance.random() < 0.5
    shape = chance.choice(things).shape if present else chance.choice(absent)
    asked = [
        Question("describe", scene.mention(talk)),
        Question("shows", _yes_or_no(talk, present), {"shape": talk.words[shape]}),
    ]
    thing = chance.choice(things)
    if [t.shape for t in things].count(thing.shape) == 1:
        answer = talk.words[thing.colour]
        asked.append(Question("colour", answer, {"shape": talk.words[thing.shape]}))
    if [t.colour for t in things].count(thing.colour) == 1:
        answer = talk.words[thing.shape]
        asked.append(Question("shape", answer, {"colour": talk.words[thing.colour]}))
    return asked


def about_phrase(phrase: Phrase, talk: Talk, chance: random.Random) -> list[Question]:
    """Return questions about the words of a clip and the thing it names."""
    thing, present = phrase.thing, chance.random() < 0.5
    others = [shape for shape in SHAPES if shape != thing.shape]
    shape = thing.shape if present else chance.choice(others)
    return [
        Question("transcribe", phrase.text),
        Question("names", _yes_or_no(talk, present), {"shape": talk.words[shape]}),
        Question("named-colour", talk.words[thing.colour]),
        Question("named-shape", talk.words[thing.shape]),
    ]


def about_pair(a: Thing, b: Thing, names: tuple[str, str], talk: Talk) -> list[Question]:
    """Return questions about two media, each of which shows or names one thing."""
    said = ANSWERS[talk.code]
    words = dict(zip("ab", names, strict=True))

    def verdict(left: str, right: str, conclusion: str) -> str:
        return said["verdict"].format(**words, left=left, right=right, verdict=conclusion)

    def same(aspect: str) -> Question:
        left, right = (str(getattr(thing, aspect)) for thing in (a, b))
        answer = verdict(talk.words[left], talk.words[right], _yes_or_no(talk, left == right))
        return Question(f"same-{aspect}", answer, words)

    related = verdict(talk.name(a), talk.name(b), said[a.shares(b)])
    return [Question("relate", related, words), same("colour"), same("shape")]


def which_of(kind: str, thing: Thing, name: str, talk: Talk) -> Question:
    """Return the question which medium of a kind shows or names `thing`; `name` is the answer."""
    return Question(f"which-{kind}", name, {"thing": talk.name(thing)})


def _yes_or_no(talk: Talk, yes: bool) -> str:
    return ANSWERS[talk.code]["yes" if yes else "no"]
