"""The training data of the Llama part: dialogues, and exercises for single skills."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mmmodal_playground.build.describing import described, in_words, in_words_or_slots
from mmmodal_playground.build.rows import Row, labelled
from mmmodal_playground.dialogues import TASKS, Clip, Dialogue, Medium, make_dialogue, make_quiz
from mmmodal_playground.phrases import any_phrase
from mmmodal_playground.questions import about_pair, about_phrase, about_scene
from mmmodal_playground.scenes import single_scene
from mmmodal_playground.speech import any_voice
from mmmodal_playground.things import TALKS, Split, Thing, things_of
from mmmodal_playground.wording import medium_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["ASSISTANT", "END", "EXERCISES", "LESSONS", "USER", "any_dialogue"]

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
TURNS = 8  # of a quiz
CUES = 16  # of a drill
BACKWARDS = 0.3  # share of the roll calls with the thing in front of the medium
RELATED = 0.2  # share of a drill's cues about what two media have in common
MEANT = 0.15  # share of a drill's cues about which medium has a thing
ALONE = 0.3  # share of a drill's pictures with one thing; the places of two are hard to learn
LESSONS = (
    (0.1, {"roll calls": 2}),
    (0.35, {"roll calls": 1, "drills": 1}),
    (1.0, {"dialogues": 1, "quizzes": 1, "drills": 1}),
)
"""The number of batches of each exercise in a step, up to a share of all steps."""


def any_dialogue(split: Split, chance: random.Random) -> Dialogue:
    """Return a dialogue of a random task and language."""
    return make_dialogue(chance.choice(TASKS), chance.choice(list(TALKS)), split, chance)


def _dialogue(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    return _encode(tokenizer, any_dialogue("train", chance), chance)


def _quiz(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    """Return a row with many questions about the same media."""
    language = chance.choice(list(TALKS))
    quiz = make_quiz(language, "train", chance, turns=TURNS)
    return _encode(tokenizer, quiz, chance)


def _roll_call(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    """Return a row of three media and their things: " image 2 red star audio 1 black circle".

    Finding the right one of several things is by far the hardest to learn. It is learned many times
    faster if a row contains nothing else, and the thing directly follows the name.
    """
    language = chance.choice(list(TALKS))
    things = chance.sample(things_of("train"), 3)
    media = [_showing(thing, language, chance) for thing in things]
    shown = "".join(in_words(medium, language) for medium in media)
    order = [index for _ in range(CUES // 4) for index in chance.sample(range(3), 3)]
    names = [_name(media, index, language) for index in order]
    called = [TALKS[language].name(things[index]) for index in order]
    backwards = chance.random() < BACKWARDS
    cues = zip(called, names, strict=True) if backwards else zip(names, called, strict=True)
    return _cued(tokenizer, shown, list(cues), [medium.things for medium in media])


def _showing(thing: Thing, language: str, chance: random.Random) -> Medium:
    if chance.random() < 0.5:
        return single_scene(thing, "train", chance)
    phrase = any_phrase(language, thing, "train", chance)
    return Clip(phrase, any_voice(language, chance))


def _drill(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    """Return a row of media, or a part of one, and a fact about it: " image 2 star red"."""
    language = chance.choice(list(TALKS))
    media = make_quiz(language, "train", chance, turns=0, alone=ALONE).media
    shown = "".join(in_words_or_slots(medium, language, chance) for medium in media)
    cues = [_any_cue(media, language, chance) for _ in range(CUES)]
    return _cued(tokenizer, shown, cues, [medium.things for medium in media])


def _any_cue(media: Sequence[Medium], language: str, chance: random.Random) -> tuple[str, str]:
    alone = [index for index, medium in enumerate(media) if len(medium.things) == 1]
    kind = chance.random()
    if kind < RELATED and len(alone) > 1:
        return _related(media, sorted(chance.sample(alone, 2)), language)
    if kind > 1 - MEANT and alone:
        return _meant(media, chance.choice(alone), language)
    return _cue(media, chance.randrange(len(media)), language, chance)


def _related(media: Sequence[Medium], pair: Sequence[int], language: str) -> tuple[str, str]:
    """Return the names of two media, and what they have in common."""
    first, second = (_name(media, index, language) for index in pair)
    a, b = (media[index].things[0] for index in pair)
    return f"{first} {second}", about_pair(a, b, (first, second), TALKS[language])[0].answer


def _meant(media: Sequence[Medium], index: int, language: str) -> tuple[str, str]:
    """Return a kind and a thing, and the first medium of the kind that has it."""
    kind, thing = type(media[index]), media[index].things[0]
    having = [i for i, m in enumerate(media) if type(m) is kind and thing in m.things]
    name = _name(media, having[0], language)
    return f"{name.split()[0]} {TALKS[language].name(thing)}", name


def _cue(
    media: Sequence[Medium], index: int, language: str, chance: random.Random
) -> tuple[str, str]:
    """Return a medium, perhaps with a colour, shape or place in it, and the fact about it."""
    medium, talk = media[index], TALKS[language]
    if isinstance(medium, Clip):
        questions = about_phrase(medium.phrase, talk, chance)[:1]
    else:
        asked = about_scene(medium, talk, chance)
        questions = [question for question in asked if question.kind != "shows"]
    question = chance.choice(questions)
    name = _name(media, index, language)
    return " ".join((name, *question.words.values())), question.answer


def _name(media: Sequence[Medium], index: int, language: str) -> str:
    kind = type(media[index])
    number = [type(medium) is kind for medium in media[: index + 1]].count(True)
    return medium_name(language, "audio" if kind is Clip else "image", number)


def _cued(
    tokenizer: PreTrainedTokenizerFast,
    shown: str,
    cues: Sequence[tuple[str, str]],
    shown_things: Sequence[Sequence[Thing]],
) -> Row:
    pieces = [(f"{USER}{shown}{END}{ASSISTANT}", False)]
    for cue, answer in cues:
        pieces += [(f" {cue}", False), (f" {answer}", True)]
    return labelled(tokenizer, pieces, shown_things)


def _encode(tokenizer: PreTrainedTokenizerFast, dialogue: Dialogue, chance: random.Random) -> Row:
    """Return ids and labels: answers and turn ends are learned.

    Half of all media are described in words and half in slots.
    """
    pieces = []
    for message in described(dialogue, partial(in_words_or_slots, chance=chance)):
        taught = message["role"] == "assistant"
        pieces += [(f"<|{message['role']}|>", False), (f"{message['content']}{END}", taught)]
    return labelled(tokenizer, pieces, [medium.things for medium in dialogue.media])


EXERCISES: dict[str, Callable[[PreTrainedTokenizerFast, random.Random], Row]] = {
    "roll calls": _roll_call,
    "drills": _drill,
    "quizzes": _quiz,
    "dialogues": _dialogue,
}
"""The functions that make one row of each exercise."""
