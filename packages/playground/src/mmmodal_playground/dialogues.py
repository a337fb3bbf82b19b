"""Conversations with true answers, about pictures, clips and what they have in common."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from mmmodal_playground.phrases import Phrase, any_phrase
from mmmodal_playground.questions import (
    Question,
    about_pair,
    about_phrase,
    about_scene,
    which_of,
)
from mmmodal_playground.scenes import Scene, any_scene, single_scene
from mmmodal_playground.speech import Voice, any_voice
from mmmodal_playground.things import TALKS, Split, Thing, things_of
from mmmodal_playground.wording import ask, medium_name

__all__ = ["TASKS", "Clip", "Dialogue", "Medium", "Task", "Turn", "make_dialogue", "make_quiz"]

Task = Literal["image", "audio", "images", "audios", "image-audio", "recall"]
TASKS: tuple[Task, ...] = ("image", "audio", "images", "audios", "image-audio", "recall")


ALONE = 0.75
"""The share of pictures with one thing among several, so that they can be compared."""


@dataclass(frozen=True)
class Clip:
    """A phrase and its voice."""

    phrase: Phrase
    voice: Voice

    @property
    def things(self) -> tuple[Thing, ...]:
        """The thing it names."""
        return (self.phrase.thing,)


Medium = Scene | Clip


@dataclass(frozen=True)
class Turn:
    """One question with its new media, and its answer."""

    media: tuple[int, ...]
    media_first: bool
    """Whether the media are in front of the question."""

    kind: str
    question: str
    answer: str
    scored: bool
    """Whether the answer counts for the accuracy of the dialogue's task."""


@dataclass(frozen=True)
class Dialogue:
    """A conversation of several turns in one language."""

    task: Task
    language: str
    media: tuple[Medium, ...]
    turns: tuple[Turn, ...]


def make_dialogue(task: Task, language: str, split: Split, chance: random.Random) -> Dialogue:
    """Return one conversation; all its media are of the split."""
    making = _Making(task, language, split, chance)
    if task in ("image", "audio"):
        making.one()
    elif task == "recall":
        making.recall()
    else:
        making.several()
    return Dialogue(task, language, tuple(making.media), tuple(making.turns))


def make_quiz(
    language: str,
    split: Split,
    chance: random.Random,
    *,
    turns: int,
    media: int = 4,
    alone: float = ALONE,
    compared: float = 0.3,
    meant: float = 0.0,
    heard: float = 0.5,
) -> Dialogue:
    """Return a long conversation: many questions about at most `media` media at its beginning.

    `heard` is the share of clips among its media. `alone` is the share of its pictures that must
    show one thing; the others show one or two. `compared` is the share of questions about several
    media; `meant` is the share of those that ask which medium is meant, if possible.
    """
    making = _Making("image-audio", language, split, chance, alone, meant)
    for _ in range(chance.randint(1, media)):
        making.bring("audio" if chance.random() < heard else "image")
    for _ in range(turns):
        if len(making.media) > 1 and chance.random() < compared:
            making.compare()
        else:
            making.ask_about(chance.randrange(len(making.media)))
    return Dialogue(making.task, language, tuple(making.media), tuple(making.turns))


class _Making:
    """A dialogue that grows turn by turn."""

    def __init__(
        self,
        task: Task,
        language: str,
        split: Split,
        chance: random.Random,
        alone: float = ALONE,
        meant: float = 0.0,
    ) -> None:
        self.task, self.language, self.split, self.chance = task, language, split, chance
        self.alone, self.meant = alone, meant
        self.talk = TALKS[language]
        self.media: list[Medium] = []
        self.turns: list[Turn] = []
        self.brought = 0  # media of earlier turns
        self.asked: set[tuple[str, tuple[int, ...]]] = set()

    def one(self) -> None:
        """Add two or three questions about one medium."""
        self.bring(self.task)
        for _ in range(self.chance.randint(2, 3)):
            self.ask_about(0)

    def several(self) -> None:
        """Add media at once or over several turns, with questions about each and about pairs."""
        kinds = self.kinds()
        one_by_one = self.chance.random() < 0.5
        for index, kind in enumerate(kinds):
            self.bring(kind)
            if one_by_one and index < len(kinds) - 1:
                self.ask_about(index, scored=False)
        self.compare()
        for _ in range(self.chance.randint(1, 2)):
            if self.chance.random() < 0.5:
                self.compare()
            else:
                self.ask_about(self.chance.randrange(len(self.media)))

    def recall(self) -> None:
        """Add questions about two or three media in turn, then about an earlier one."""
        for index in range(self.chance.randint(2, 3)):
            self.bring(self.chance.choice(("image", "audio")))
            self.ask_about(index, scored=False)
        self.ask_about(self.chance.randrange(len(self.media) - 1))

    def kinds(self) -> list[str]:
        """Return the modalities of two to four media; a mix has both modalities."""
        if self.task == "image-audio":
            kinds = ["image", "audio", *self.chance.choices(("image", "audio"), k=2)]
            kinds = kinds[: self.chance.choice((2, 2, 3, 4))]
            self.chance.shuffle(kinds)
            return kinds
        return [self.task.removesuffix("s")] * self.chance.choice((2, 2, 3))

    def bring(self, kind: str) -> None:
        """Add a medium, which may have something in common with an earlier one."""
        earlier = [medium.things[0] for medium in self.media if len(medium.things) == 1]
        thing = self.chance.choice(things_of(self.split))
        if earlier:
            thing = _alike(self.chance.choice(earlier), self.split, self.chance)
        if kind == "audio":
            phrase = any_phrase(self.language, thing, self.split, self.chance)
            self.media.append(Clip(phrase, any_voice(self.language, self.chance)))
        elif self.task in ("images", "image-audio") and self.chance.random() < self.alone:
            self.media.append(single_scene(thing, self.split, self.chance))
        else:
            self.media.append(any_scene(self.split, self.chance))

    def ask_about(self, index: int, scored: bool = True) -> None:
        """Add a question about one medium that was not asked before."""
        medium = self.media[index]
        questions = (
            about_scene(medium, self.talk, self.chance)
            if isinstance(medium, Scene)
            else about_phrase(medium.phrase, self.talk, self.chance)
        )
        self.say(questions, (index,), scored, n=self.number(index))

    def compare(self) -> None:
        """Add a question what two media have in common, or which of several is meant."""
        alone = [index for index, medium in enumerate(self.media) if len(medium.things) == 1]
        if len(alone) < 2:
            self.ask_about(self.chance.randrange(len(self.media)))
            return
        i, j = sorted(self.chance.sample(alone, 2))
        a, b = (self.media[index].things[0] for index in (i, j))
        questions = about_pair(a, b, (self.name(i), self.name(j)), self.talk)
        chosen = self.chance.choice((i, j))
        if self.is_only_one(chosen):
            kind, thing = self.kind(chosen), self.media[chosen].things[0]
            which = which_of(kind, thing, self.name(chosen), self.talk)
            # No random number without a preference, so that the dialogues of a seed do not change.
            prefer = self.meant and self.chance.random() < self.meant
            questions = [which] if prefer else [*questions, which]
        self.say(questions, (i, j))

    def say(
        self, questions: list[Question], about: tuple[int, ...], scored: bool = True, **more: int
    ) -> None:
        """Add a turn with one of `questions`, and with the media added since the last turn."""
        new = [question for question in questions if (question.kind, about) not in self.asked]
        question = self.chance.choice(new or questions)
        self.asked.add((question.kind, about))
        media = tuple(range(self.brought, len(self.media)))
        self.brought = len(self.media)
        text = ask(question.kind, question.words, self.language, self.chance, **more)
        first = self.chance.random() < 0.75
        self.turns.append(Turn(media, first, question.kind, text, question.answer, scored))

    def kind(self, index: int) -> str:
        """Return the modality of a medium."""
        return "image" if isinstance(self.media[index], Scene) else "audio"

    def number(self, index: int) -> int:
        """Return the number of a medium among those of its kind, from 1."""
        return [self.kind(i) for i in range(index + 1)].count(self.kind(index))

    def name(self, index: int) -> str:
        """Return the name of a medium."""
        return medium_name(self.language, self.kind(index), self.number(index))

    def is_only_one(self, index: int) -> bool:
        """Return whether there are other media of its kind, none of which has its thing."""
        thing = self.media[index].things[0]
        others = [
            medium
            for other, medium in enumerate(self.media)
            if other != index and self.kind(other) == self.kind(index)
        ]
        return bool(others) and not any(thing in medium.things for medium in others)


def _alike(thing: Thing, split: Split, chance: random.Random) -> Thing:
    """Return a thing that shares colour and shape, colour, shape or nothing, with equal chances."""
    shared = chance.choice(("both", "colour", "shape", "nothing"))
    return chance.choice([other for other in things_of(split) if other.shares(thing) == shared])
