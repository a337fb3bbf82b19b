"""Find the tokens of a part of a text: by their offsets, or by the markup around them.

Computing offsets takes half as long as computing the ids. They are computed only until the header
is known: the tokens between a markup token and an answer, which a template always writes alike.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence
from dataclasses import dataclass

__all__ = ["IGNORE", "Anchors", "FoundSpan", "Spans", "TokenizedText", "tokens_of"]

IGNORE = -100
"""The label of a token without loss."""

Spans = Sequence[tuple[int, int]]
"""Starts and ends, in characters."""

REMEMBERED = 256  # headers; most templates have one


@dataclass(frozen=True)
class TokenizedText:
    """The text that a template wrote, and its ids; a medium is one `MEDIUM`."""

    text: str
    ids: list[int]


@dataclass(frozen=True)
class FoundSpan:
    """The tokens of a part of a text."""

    tokens: slice
    exact: bool
    """Whether the first of them is known to begin where the part does."""


def tokens_of(
    span: tuple[int, int], ids: Sequence[int], offsets: Spans, markup: Collection[int]
) -> slice:
    """Return the tokens that hold the characters of a span, given the offsets of all tokens.

    A text token across the start of the span is included, as it holds the first letters. A markup
    token there is not: it merely contains the white space after it, as in Phi-3.
    """
    begin, stop = span
    first = bisect.bisect_right(offsets, begin, key=lambda token: max(token[1], token[0] + 1))
    last = bisect.bisect_left(offsets, stop, key=lambda token: token[0])
    if first < last and offsets[first][0] < begin and ids[first] in markup:
        first += 1
    return slice(first, last)


class Anchors:
    """The known headers: the tokens between a markup token and the answer after it."""

    def __init__(self, markup: Collection[int]) -> None:
        self._markup = markup
        self._known: dict[tuple[int, str], list[int]] = {}

    def find(
        self, rendered: str, ids: Sequence[int], markup: Sequence[int], spans: Spans
    ) -> list[slice] | None:
        """Return the tokens of each span, or None if the header of one is unknown."""
        found = []
        at = self._at(ids, markup)
        for start, end in spans:
            before = bisect.bisect_right(markup, start) - 1
            behind = bisect.bisect_left(markup, end)
            if before < 0 or behind >= len(at) or markup[behind] != end:
                return None
            head = rendered[markup[before] : start]
            first = at[before] + 1
            known = self._known.get((ids[at[before]], head))
            if known is None or ids[first : first + len(known)] != known:
                return None
            found.append(slice(first + len(known), at[behind] + 1))
        return found

    def learn(
        self,
        rendered: str,
        ids: list[int],
        markup: Sequence[int],
        spans: Spans,
        found: Sequence[FoundSpan],
    ) -> None:
        """Store the headers of the spans whose first token begins at the start of the span."""
        at = self._at(ids, markup)
        for (start, _), span in zip(spans, found, strict=True):
            before = bisect.bisect_right(markup, start) - 1
            if span.exact and 0 <= before < len(at) and len(self._known) < REMEMBERED:
                head = rendered[markup[before] : start]
                self._known[ids[at[before]], head] = ids[at[before] + 1 : span.tokens.start]

    def _at(self, ids: Sequence[int], markup: Sequence[int]) -> list[int]:
        """Return the indices of the markup tokens; an empty list if their number differs."""
        at = [place for place, id_ in enumerate(ids) if id_ in self._markup]
        return at if len(at) == len(markup) else []
