"""Where the assistant speaks in what a chat template writes, and how its turns end.

Nothing is known of a template but what it writes. It is asked once about placeholders, and says
with them what it puts behind a user's text when the assistant is to speak: the prompt. Where it
puts more before an answer than that, as the empty `<think>` block before the last one, the model
has to write that itself, so it is learned with the answer. What an answer itself can change there,
such as a thought in place of the empty one, is told from what always stands there: the header.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.errors import RenderError

__all__ = ["TurnFormat"]

Write = Callable[[Sequence[tuple[str, str]], bool], str]
"""Apply a template to (role, content) pairs, and end where the assistant is to speak or not."""


@dataclass(frozen=True)
class TurnFormat:
    """What a chat template writes between a user's text, an answer and what follows it."""

    header: str
    """What always stands between a user's text and an answer."""

    prompted: str
    """What stands behind the header where the assistant is to speak: `<think>` and `</think>`."""

    openings: tuple[str, ...]
    """What the template may write there itself before an answer, longest first."""

    end: str
    """The token that ends an answer."""

    anchored: bool
    """Whether the header holds a token of markup."""

    @classmethod
    def of(cls, write: Write, tokens: MarkupTokenizer) -> TurnFormat:
        """Learn it from what a template writes around placeholders.

        Raises:
            RenderError: an answer has no end that a model could learn.
        """
        roles = ("user", "assistant", "user", "assistant")
        chat = [(role, tokens.placeholder(i)) for i, role in enumerate(roles)]

        def around(messages: int, add_generation_prompt: bool = False) -> list[str]:
            written = tokens.split_at_placeholders(write(chat[:messages], add_generation_prompt))
            if len(written) != messages + 1:
                raise RenderError("the chat template does not show every message once")
            return written

        prompt = around(1, add_generation_prompt=True)[-1]
        once, twice = around(2), around(4)
        before = (prompt, once[1], twice[1], twice[3])
        header = _common_start(before)
        openings = {text.removeprefix(header) for text in before}
        end = tokens.find_markup(once[-1], 0, len(once[-1]))
        if end is None:
            raise RenderError(
                "the chat template ends an assistant turn with no special token, so the model "
                "could never learn to stop; give a template that writes one (such as eos_token)"
            )
        longest_first = tuple(sorted(openings, key=len, reverse=True))
        anchored = tokens.find_markup(header, 0, len(header)) is not None
        return cls(header, prompt.removeprefix(header), longest_first, end[0], anchored)

    def answers_by_header(
        self, text: str, count: int, is_prompt: bool, tokens: MarkupTokenizer
    ) -> list[tuple[int, int]] | None:
        """Find the answers by the header alone: with markup in it, nobody can type it.

        Args:
            text: what the template writes of a conversation.
            count: how many answers it has.
            is_prompt: it ends where the assistant is to speak.
            tokens: finds the ends.

        Returns:
            What `answers` would, or None where the header does not stand before answers alone.
        """
        if not self.anchored:
            return None
        starts = [match.end() for match in re.finditer(re.escape(self.header), text)]
        if len(starts) != count + is_prompt:
            return None
        spans = []
        for start, stop in itertools.pairwise([*starts, len(text)][: count + 1]):
            end = tokens.find_literal(self.end, text, start, stop)
            if end is None:
                return None
            spoken = start + len(self.prompted) if text.startswith(self.prompted, start) else start
            spans.append((spoken, end))
        return spans

    def answers(
        self, text: str, around: Sequence[str], tokens: MarkupTokenizer
    ) -> list[tuple[int, int]]:
        """Find what the assistant says in `text`, as (start, end) in characters, with its ends.

        Args:
            text: what the template writes of a conversation.
            around: what it writes around each answer, which is the same whatever the answers are.
            tokens: finds the ends.

        Raises:
            RenderError: more than the answers differs.
        """
        *before, last = around
        heads = [self._without_opening(head) for head in before]
        start = len(heads[0])
        if not text.startswith(heads[0]):
            raise _unclear()
        spans: list[tuple[int, int]] = []
        for number, following in enumerate((*heads[1:], last), 1):
            # An answer holds no turn end, so it cannot hold what follows it.
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


def _common_start(texts: Sequence[str]) -> str:
    pairs = zip(min(texts), max(texts), strict=False)  # all others agree where these two do
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _unclear() -> RenderError:
    return RenderError(
        "the chat template writes other things around an answer than around another one; "
        "what the model is to learn is unclear"
    )
