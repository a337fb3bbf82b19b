"""Find the answers of the assistant in the text of a chat template, and the ends of its turns.

A template is known only by its output. It is applied once to placeholders, which shows what it
writes after a user's text when an answer is to follow: the prompt. If the template writes more than
that before an answer, such as an empty `<think>` block before the last one, the model has to
generate it, so it is learned with the answer. An answer can change part of this text, such as the
thought in the `<think>` block; the part that never changes is the header.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jinja2.exceptions import TemplateError

from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.errors import RenderError

__all__ = [
    "Agreement",
    "Chat",
    "TurnFormat",
    "Write",
    "answer_places",
    "common_start",
    "prompt_for",
]


Chat = Sequence[tuple[str, str]]
"""The role and the content of each message."""

Write = Callable[[Chat, bool], str]
"""A function that applies a template to a conversation, with a generation prompt or not. It raises
a TemplateError where the template refuses the conversation."""

FRAMES = ("{}", "\n {} \n")
"""The white space around texts with which a template is tried."""


@dataclass(frozen=True)
class TurnFormat:
    """The texts of a chat template between a user's text, an answer and the next message."""

    header: str
    """The text that is always between a user's text and an answer."""

    prompted: str
    """The text after the header in a generation prompt: `<think>` and `</think>`."""

    openings: tuple[str, ...]
    """The texts that the template may write after the header before an answer, longest first."""

    end: str
    """The token that ends an answer."""

    anchored: bool
    """Whether the header contains a markup token."""

    @classmethod
    def of(cls, write: Write, tokens: MarkupTokenizer) -> TurnFormat:
        """Return the format of a template, from its output for placeholders.

        Raises:
            RenderError: an answer has no end that a model can learn.
        """
        roles = ("user", "assistant", "user", "assistant")
        chat = [(role, tokens.placeholder(i)) for i, role in enumerate(roles)]

        def around(messages: int, add_generation_prompt: bool = False) -> list[str]:
            text = write(chat[:messages], add_generation_prompt)
            written = tokens.split_at_placeholders(text)
            if len(written) != messages + 1:
                raise RenderError(
                    "the chat template does not write every message once; give another one"
                )
            return written

        prompt = around(1, add_generation_prompt=True)[-1]
        once, twice = around(2), around(4)
        before = (prompt, once[1], twice[1], twice[3])
        header = common_start(before)
        openings = {text.removeprefix(header) for text in before}
        end = tokens.find_markup(once[-1], 0, len(once[-1]))
        if end is None:
            raise RenderError(
                "the chat template ends an assistant turn without a special token, so the model "
                "cannot learn to stop; give a template that writes one (such as eos_token)"
            )
        longest_first = tuple(sorted(openings, key=len, reverse=True))
        anchored = tokens.find_markup(header, 0, len(header)) is not None
        return cls(header, prompt.removeprefix(header), longest_first, end[0], anchored)

    def spans(
        self, write: Write, chat: Chat, text: str, tokens: MarkupTokenizer
    ) -> list[tuple[int, int]]:
        """Return the answers in the text of a conversation, in characters, turn ends included.

        If `text` alone does not show them, the template is applied again with a placeholder for
        every answer: the text around the placeholders is in `text` too, even if the template
        changes the answers.

        Raises:
            RenderError: the template writes different texts around different answers.
        """
        count = len(answer_places(chat))
        spans = self.answers_by_header(text, count, tokens)
        if spans is not None:
            return spans
        masked = [
            (role, tokens.placeholder(i) if role == "assistant" else content)
            for i, (role, content) in enumerate(chat)
        ]
        around = tokens.split_at_placeholders(write(masked, False))
        if len(around) != count + 1:
            raise RenderError(
                "the chat template does not write every answer once; give another one"
            )
        return self.answers(text, around, tokens)

    def answers_by_header(
        self, text: str, count: int, tokens: MarkupTokenizer
    ) -> list[tuple[int, int]] | None:
        """Find the answers by the header alone: a header with markup cannot be typed.

        Args:
            text: the text of the template for a conversation.
            count: the number of answers.
            tokens: the tokenizer, which finds the ends.

        Returns:
            The same as `answers`, or None if the header is not before answers only.
        """
        if not self.anchored:
            return None
        starts = [match.end() for match in re.finditer(re.escape(self.header), text)]
        if len(starts) != count:
            return None
        spans = []
        for start, stop in itertools.pairwise([*starts, len(text)]):
            end = tokens.find_literal(self.end, text, start, stop)
            if end is None:
                return None
            spoken = start + len(self.prompted) if text.startswith(self.prompted, start) else start
            spans.append((spoken, end))
        return spans

    def answers(
        self, text: str, around: Sequence[str], tokens: MarkupTokenizer
    ) -> list[tuple[int, int]]:
        """Return the answers in `text` as (start, end) in characters, turn ends included.

        Args:
            text: the text of the template for a conversation.
            around: the texts of the template around placeholders of the answers.
            tokens: the tokenizer, which finds the ends.

        Raises:
            RenderError: `text` differs from `around` in more than the answers.
        """
        *before, last = around
        heads = [self._without_opening(head) for head in before]
        start = len(heads[0])
        if not text.startswith(heads[0]):
            raise _unclear()
        spans: list[tuple[int, int]] = []
        for number, following in enumerate((*heads[1:], last), 1):
            # An answer contains no turn end, so it cannot contain the text that follows one.
            is_last = number == len(heads)
            end = len(text) - len(last) if is_last else text.find(following, start)
            if end < start or not text.startswith(following, end):
                raise _unclear()
            if text.startswith(self.prompted, start, end):
                start += len(self.prompted)
            spans.append((start, self._past_end(text, end, following, tokens)))
            start = end + len(following)
        return spans

    def _without_opening(self, head: str) -> str:
        for opening in self.openings:
            if head.endswith(self.header + opening):
                return head[: len(head) - len(opening)]
        return head

    def _past_end(self, text: str, end: int, following: str, tokens: MarkupTokenizer) -> int:
        match = tokens.find_markup(text, end, end + len(following))
        return match.end() if match is not None and match[0] == self.end else end


class Agreement:
    """Whether a template writes finished conversations so that they begin with their prompts.

    This depends on the roles of the messages, and is found once for each sequence of roles, with
    placeholders as texts; and on what the template looks for in texts, so of a conversation that
    contains such a text it is not known.
    """

    def __init__(self, write: Write, tokens: MarkupTokenizer, telling: re.Pattern[str]) -> None:
        """Begin to learn of a template that looks for the texts of the pattern `telling`."""
        self._write, self._tokens, self._telling = write, tokens, telling
        self._known: dict[tuple[str, ...], bool] = {}

    def holds(self, chat: Chat) -> bool:
        """Return whether a conversation is known to begin with the prompt of each answer."""
        if any(self._telling.search(text) or not text.strip() for _, text in chat):
            return False
        roles = tuple(role for role, _ in chat)
        if roles not in self._known:
            self._known[roles] = all(self._holds_for(roles, frame) for frame in FRAMES)
        return self._known[roles]

    def _holds_for(self, roles: Sequence[str], frame: str) -> bool:
        places = [self._tokens.placeholder(i) for i in range(len(roles))]
        chat = [(role, frame.format(place)) for role, place in zip(roles, places, strict=True)]
        try:
            text = self._write(chat, False)
        except TemplateError:
            return False
        prompts = {i: prompt_for(self._write, chat[:i]) for i in answer_places(chat)}
        return all(
            places[i] in text and (prompt is None or text.startswith(prompt))
            for i, prompt in prompts.items()
        )


def answer_places(chat: Chat) -> list[int]:
    """Return the indices of the assistant's messages."""
    return [i for i, (role, _) in enumerate(chat) if role == "assistant"]


def prompt_for(write: Write, chat: Chat) -> str | None:
    """Return the prompt for the next answer; None if the template cannot ask for one."""
    try:
        return write(chat, True) if chat else None
    except TemplateError:
        return None


def common_start(texts: Sequence[str]) -> str:
    """Return the longest text that all of `texts` begin with."""
    pairs = zip(min(texts), max(texts), strict=False)  # if these two agree, all others do
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _unclear() -> RenderError:
    return RenderError(
        "the chat template writes different texts around different answers, so the text to learn "
        "is ambiguous; give another template"
    )
