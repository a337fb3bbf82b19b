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
from collections.abc import Sequence
from dataclasses import dataclass

from mmmodal.conversation.template import ChatTemplate
from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.errors import RenderError

__all__ = ["TurnFormat", "common_start"]


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
    def of(cls, template: ChatTemplate, tokens: MarkupTokenizer) -> TurnFormat:
        """Return the format of a template, from its output for placeholders.

        Raises:
            RenderError: an answer has no end that a model can learn.
        """
        roles = ("user", "assistant", "user", "assistant")
        chat = [(role, tokens.placeholder(i)) for i, role in enumerate(roles)]

        def around(messages: int, add_generation_prompt: bool = False) -> list[str]:
            text = template.write(chat[:messages], add_generation_prompt)
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


def common_start(texts: Sequence[str]) -> str:
    """Return the longest text that all of `texts` begin with."""
    pairs = zip(min(texts), max(texts), strict=False)  # if these two agree, all others do
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _unclear() -> RenderError:
    return RenderError(
        "the chat template writes different texts around different answers, so the text to learn "
        "is ambiguous; give another template"
    )
