"""The text to learn a conversation from: each answer behind the very prompt that inference sends.

Most templates write a finished conversation so that it begins with the prompt of each of its
answers; `turns.Agreement` knows which. Others move a system text into the last question, open a
thought in the prompt that finished turns lack, or strip the thoughts of earlier answers. Then the
last prompt and its answer are joined, which is exact. An earlier answer is learned where the text
up to it is its prompt, and left out elsewhere, for no text begins with two prompts that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmmodal.conversation.thoughts import after_opening, opened_thought
from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.conversation.turns import Chat, TurnFormat, Write, answer_places, prompt_for
from mmmodal.errors import RenderError

__all__ = ["Joiner", "LearnedAnswers", "TrainingText", "Unlearned", "holds"]

LearnedAnswers = Literal["asked", "all"]
"""Which answers are learned: those whose prompt stands in front of them, or all."""


@dataclass(frozen=True)
class Unlearned:
    """An answer whose prompt is not what stands in front of it, which therefore has no loss."""

    number: int
    """Which answer of its conversation, from 1."""

    asked: str
    """The prompt and the answer, as inference has them."""

    written: str
    """The text that would have been learned from."""


@dataclass(frozen=True)
class TrainingText:
    """The text of a conversation with answers to learn."""

    text: str
    spans: list[tuple[int, int]]
    """The answers that are learned, turn ends included, in characters."""

    messages: int
    """How many of the messages are in it; none behind the last answer is needed."""

    joined: bool = False
    """Whether the template writes another text, so that the last prompt and answer were joined."""

    unlearned: tuple[Unlearned, ...] = ()


@dataclass(frozen=True)
class Joiner:
    """Joins the last prompt of a conversation and its answer, where a template writes otherwise."""

    write: Write
    form: TurnFormat
    tokens: MarkupTokenizer
    answers: LearnedAnswers

    def text_of(self, chat: Chat, first: str) -> TrainingText:
        """Return the text to learn from of a conversation with an answer.

        Args:
            chat: the roles and escaped texts of the messages.
            first: what the template wrote for it just now.

        Raises:
            RenderError: the template leaves out an answer that it cannot ask for.
        """
        answered = chat[: answer_places(chat)[-1] + 1]
        found = self._joined(answered)
        # Many templates write the date, which changes between two calls at midnight.
        return found if self.write(chat, False) == first else self._joined(answered)

    def _joined(self, chat: Chat) -> TrainingText:
        """Return the text of a conversation that ends with an answer, compared with its prompts."""
        finished = self.write(chat, False)
        try:
            spans = self.form.spans(self.write, chat, finished, self.tokens)
        except RenderError:
            spans = []
        places = answer_places(chat)
        prompts = [prompt_for(self.write, chat[:place]) for place in places]
        text, span = self._last(chat[-1][1], prompts[-1], finished, spans)
        learned, unlearned = [], []
        for number, (place, prompt) in enumerate(zip(places[:-1], prompts, strict=False)):
            said = chat[place][1]
            found = self._earlier(text, finished, spans[number : number + 1], prompt, said)
            if found is None:
                unlearned.append(_unlearned(number + 1, prompt or "", said, text))
            else:
                learned.append(found)
        spoken = [*learned, span]
        return TrainingText(text, spoken, len(chat), text != finished, tuple(unlearned))

    def _last(
        self, said: str, prompt: str | None, finished: str, spans: Sequence[tuple[int, int]]
    ) -> tuple[str, tuple[int, int]]:
        """Return the text up to the last answer and what follows it, and the answer's span."""
        start, end = spans[-1] if spans else (len(finished), len(finished))
        if prompt is None:
            if not spans:
                raise RenderError("the chat template leaves out an answer; give another one")
            return finished, (start, end)
        if (
            spans
            and finished.startswith(prompt)
            and _says(finished[len(prompt) : end], prompt, said)
        ):
            return finished, (len(prompt), end)
        written = finished[start:end].removesuffix(self.form.end)
        answer = after_opening(written if holds(written, said) else said, prompt)
        text = prompt + answer + self.form.end
        return text + finished[end:], (len(prompt), len(text))

    def _earlier(
        self,
        text: str,
        finished: str,
        spans: Sequence[tuple[int, int]],
        prompt: str | None,
        said: str,
    ) -> tuple[int, int] | None:
        """Return the span of an earlier answer, or None if its prompt is not in front of it."""
        if not spans or text[: spans[0][1]] != finished[: spans[0][1]]:
            return None
        ((start, end),) = spans
        begin = start if prompt is None else len(prompt)
        asked = prompt is None or text.startswith(prompt)
        if asked and begin <= end and _says(text[begin:end], prompt or "", said):
            return begin, end
        return (start, end) if self.answers == "all" else None


def holds(text: str, part: str) -> bool:
    """Return whether a text contains another one, up to white space."""
    return "".join(part.split()) in "".join(text.split())


def _says(spoken: str, prompt: str, said: str) -> bool:
    """Return whether what follows a prompt holds an answer, whose thought the prompt may open."""
    tags = opened_thought(prompt)
    return holds(spoken if tags is None else tags[0] + spoken, said)


def _unlearned(number: int, prompt: str, said: str, text: str) -> Unlearned:
    return Unlearned(number, prompt + after_opening(said, prompt), text)
