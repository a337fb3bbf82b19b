"""Find the things that a text of the world names, and questions about it, by rules."""

from __future__ import annotations

import random
import re

from mmmodal_playground.phrases import Phrase
from mmmodal_playground.questions import about_phrase
from mmmodal_playground.things import TALKS, THINGS, Thing
from mmmodal_playground.wording import QUESTIONS

__all__ = ["language_of", "questions_about", "things_in"]

NAMES = {talk.name(thing): thing for talk in TALKS.values() for thing in THINGS}
NAMED = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in NAMES))
WORDS = {
    code: {word for text in (*talk.words.values(), *talk.frames) for word in text.split()}
    for code, talk in TALKS.items()
}


def things_in(text: str) -> list[Thing]:
    """Return the things that a text in either language names, in order."""
    return [NAMES[name] for name in NAMED.findall(text.casefold())]


def language_of(text: str) -> str:
    """Return the language of most of a text's words."""
    said = re.findall(r"\w+", text.casefold())
    return max(WORDS, key=lambda code: sum(word in WORDS[code] for word in said))


def questions_about(text: str) -> list[str]:
    """Return questions about a clip with these words, in its language; they do not vary.

    A text without things of the world has no questions.
    """
    things = things_in(text)
    if not things:
        return []
    language, chance = language_of(text), random.Random(text)
    asked = about_phrase(Phrase(language, 0, things[0]), TALKS[language], chance)
    chance.shuffle(asked)
    return [
        chance.choice(QUESTIONS[language][question.kind]).format(**question.words, n=1)
        for question in asked
    ]
