"""The text to learn a conversation from: each answer behind the very prompt that inference sends.

Most templates write a finished conversation so that it begins with the prompt of each of its
answers. Others move a system text into the last question, open a thought in the prompt that
finished turns lack, or strip the thoughts of earlier answers. Whether a template can be trusted
depends on the roles of the messages, and is found once for each sequence of roles, with
placeholders as texts, and with white space around them; and on what the template looks for in
texts, so a conversation that contains such a text is compared itself.

Where the text of the template does not agree, the last prompt and its answer are joined: this is
exact. An earlier answer is learned where the text up to it is its prompt, and left out elsewhere,
for no text begins with two prompts that differ.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jinja2.exceptions import TemplateError

from mmmodal.conversation.template import Chat, ChatTemplate
from mmmodal.conversation.thoughts import TAGS, after_opening, opened_thought
from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.conversation.turns import TurnFormat
from mmmodal.errors import RenderError

__all__ = ["LearnedAnswers", "TrainingText", "TrainingTexts", "Unlearned", "holds"]

LearnedAnswers = Literal["asked", "all"]
"""Which answers are learned: those whose prompt stands in front of them, or all."""

FRAMES = ("{}", "\n {} \n")
"""The white space around texts with which a template is tried."""

LITERAL = r"""(?:'((?:[^'\\\n]|\\.)+)'|"((?:[^"\\\n]|\\.)+)")"""
LOOKED_FOR = re.compile(
    rf"{LITERAL}\s*(?:not\s+)?in\b|[.|]\s*\w+\(\s*{LITERAL}|\bset\s+\w+\s*=\s*{LITERAL}\s*-?%"
)
"""The texts of a template that it may look for: `'x' in`, `.split('x')`, `set tag = 'x'`."""


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

    joined: bool = False
    """Whether the template writes another text, so that the last prompt and answer were joined."""

    unlearned: tuple[Unlearned, ...] = ()


class TrainingTexts:
    """The texts to learn conversations from, of one chat template."""

    def __init__(
        self,
        template: ChatTemplate,
        form: TurnFormat,
        tokens: MarkupTokenizer,
        answers: LearnedAnswers = "asked",
    ) -> None:
        self._template, self._form, self._tokens = template, form, tokens
        self._answers = answers
        self._agreeing: dict[tuple[str, ...], bool] = {}
        self._telling = _looked_for(template.source)

    def of(self, chat: Chat) -> TrainingText:
        """Return the text of a conversation with at least one answer.

        Args:
            chat: the roles and escaped texts of the messages.

        Raises:
            RenderError: the template refuses it.
        """
        text = self._template.apply(chat)
        if self._agrees(chat):
            try:
                return TrainingText(text, self._finished(chat, text))
            except RenderError:
                pass  # the template writes different texts around different answers
        answered = chat[: _answers(chat)[-1] + 1]
        found = self._joined(answered)
        # Many templates write the date, which changes between two calls at midnight.
        return found if self._template.apply(chat) == text else self._joined(answered)

    def _agrees(self, chat: Chat) -> bool:
        """Return whether the text of the template is known to begin with each prompt."""
        if any(self._telling.search(text) or not text.strip() for _, text in chat):
            return False
        roles = tuple(role for role, _ in chat)
        if roles not in self._agreeing:
            self._agreeing[roles] = all(self._agrees_on(roles, it) for it in FRAMES)
        return self._agreeing[roles]

    def _agrees_on(self, roles: Sequence[str], frame: str) -> bool:
        places = [self._tokens.placeholder(i) for i in range(len(roles))]
        chat = [(role, frame.format(place)) for role, place in zip(roles, places, strict=True)]
        text = self._template.apply(chat)
        prompts = {i: self._prompt(chat[:i]) for i in _answers(chat)}
        return all(
            places[i] in text and (prompt is None or text.startswith(prompt))
            for i, prompt in prompts.items()
        )

    def _finished(self, chat: Chat, text: str) -> list[tuple[int, int]]:
        """Return the spans of the answers in the template's text of a conversation.

        If `text` alone does not show them, the template is applied again with a placeholder for
        every answer: the text around the placeholders is in `text` too, even if the template
        changes the answers.
        """
        answers = _answers(chat)
        spans = self._form.answers_by_header(text, len(answers), self._tokens)
        if spans is not None:
            return spans
        masked = [
            (role, self._tokens.placeholder(i) if role == "assistant" else content)
            for i, (role, content) in enumerate(chat)
        ]
        around = self._tokens.split_at_placeholders(self._template.apply(masked))
        if len(around) != len(answers) + 1:
            raise RenderError(
                "the chat template does not write every answer once; give another one"
            )
        return self._form.answers(text, around, self._tokens)

    def _joined(self, chat: Chat) -> TrainingText:
        """Return the text of a conversation that ends with an answer, compared with its prompts."""
        finished = self._template.apply(chat)
        try:
            spans = self._finished(chat, finished)
        except RenderError:
            spans = []
        answers = _answers(chat)
        prompts = [self._prompt(chat[:place]) for place in answers]
        last = self._last(chat[-1][1], prompts[-1], finished, spans)
        learned, unlearned = [], []
        for number, prompt in enumerate(prompts[:-1]):
            span = spans[number] if spans else None
            said = chat[answers[number]][1]
            if span and _is_asked(last.text, finished, span, prompt, said):
                learned.append((span[0] if prompt is None else len(prompt), span[1]))
            elif span and self._answers == "all" and last.text[: span[1]] == finished[: span[1]]:
                learned.append(span)
            else:
                unlearned.append(_unlearned(number + 1, prompt or "", said, last.text))
        return TrainingText(last.text, [*learned, *last.spans], last.joined, tuple(unlearned))

    def _prompt(self, chat: Chat) -> str | None:
        """Return the prompt for the next answer; None if the template cannot ask for one."""
        try:
            return self._template.write(chat, add_generation_prompt=True) if chat else None
        except TemplateError:
            return None

    def _last(
        self, said: str, prompt: str | None, finished: str, spans: Sequence[tuple[int, int]]
    ) -> TrainingText:
        """Return the text up to the last answer, which is learned behind its prompt."""
        start, end = spans[-1] if spans else (len(finished), len(finished))
        if prompt is None:
            if not spans:
                raise RenderError("the chat template leaves out an answer; give another one")
            return TrainingText(finished, [(start, end)])
        if (
            spans
            and finished.startswith(prompt)
            and _says(finished[len(prompt) : end], prompt, said)
        ):
            return TrainingText(finished, [(len(prompt), end)])
        written = finished[start:end].removesuffix(self._form.end)
        answer = after_opening(written if holds(written, said) else said, prompt)
        text = prompt + answer + self._form.end
        return TrainingText(text + finished[end:], [(len(prompt), len(text))], True)


def holds(text: str, part: str) -> bool:
    """Return whether a text contains another one, up to white space."""
    return "".join(part.split()) in "".join(text.split())


def _says(spoken: str, prompt: str, said: str) -> bool:
    """Return whether what follows a prompt holds an answer, whose thought the prompt may open."""
    tags = opened_thought(prompt)
    return holds(spoken if tags is None else tags[0] + spoken, said)


def _is_asked(
    text: str, finished: str, span: tuple[int, int], prompt: str | None, said: str
) -> bool:
    """Return whether a text has the prompt of an earlier answer, and then all of the answer."""
    start, end = span
    if text[:end] != finished[:end]:
        return False
    if prompt is None:
        return holds(text[start:end], said)
    return (
        text.startswith(prompt)
        and len(prompt) <= end
        and _says(text[len(prompt) : end], prompt, said)
    )


def _unlearned(number: int, prompt: str, said: str, text: str) -> Unlearned:
    return Unlearned(number, prompt + after_opening(said, prompt), text)


def _answers(chat: Chat) -> list[int]:
    return [i for i, (role, _) in enumerate(chat) if role == "assistant"]


def _unescaped(text: str) -> str:
    return text.encode().decode("unicode_escape", "ignore") if text.isascii() else text


def _looked_for(source: str) -> re.Pattern[str]:
    """Return a pattern of the texts in messages that may change what a template writes."""
    found = itertools.chain.from_iterable(LOOKED_FOR.findall(source))
    texts = {_unescaped(text) for text in found}
    texts |= {tag for tags in TAGS for tag in tags}
    texts -= {"role", "content"}
    return re.compile("|".join(re.escape(t) for t in sorted(texts, key=len) if t.strip()))
