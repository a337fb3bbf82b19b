"""Find the tokens that hold a part of a text: by their offsets, or by the markup around them.

Offsets cost half as much again as the ids, so they are asked for only until it is known how many
tokens stand between a token of markup and an answer: the header that a template writes there is
always the same.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Sequence
from dataclasses import dataclass

__all__ = ["Anchors", "Spans", "TokenizedText", "tokens_of"]

Spans = Sequence[tuple[int, int]]
"""Starts and ends, in characters."""

REMEMBERED = 256  # headers; there is one of most templates


@dataclass(frozen=True)
class TokenizedText:
    """What a template wrote, and its ids, a medium as one `MEDIUM`."""

    text: str
    ids: list[int]


def tokens_of(
    span: tuple[int, int], ids: Sequence[int], offsets: Spans, markup: Collection[int]
) -> slice:
    """Return which tokens hold the characters of a span, given where each token begins and ends.

    A token of text that straddles the start counts, for it carries the first letters; markup that
    has swallowed the white space behind it, as Phi-3's does, is not what follows it.
    """
    begin, stop = span
    first = bisect.bisect_right(offsets, begin, key=lambda token: max(token[1], token[0] + 1))
    last = bisect.bisect_left(offsets, stop, key=lambda token: token[0])
    if first < last and offsets[first][0] < begin and ids[first] in markup:
        first += 1
    return slice(first, last)


class Anchors:
    """What is known of the tokens between markup and the answers behind it."""

    def __init__(self, markup: Collection[int]) -> None:
        self._markup = markup
        self._known: dict[tuple[int, str], list[int]] = {}

    def find(
        self, rendered: str, ids: Sequence[int], markup: Sequence[int], spans: Spans
    ) -> list[slice] | None:
        """Return the tokens of each span, or None where one stands behind something unknown."""
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
        found: Sequence[tuple[slice, bool]],
    ) -> None:
        """Remember what stands before spans whose first token begins where they do."""
        at = self._at(ids, markup)
        for (start, _), (tokens, exact) in zip(spans, found, strict=True):
            before = bisect.bisect_right(markup, start) - 1
            if exact and 0 <= before < len(at) and len(self._known) < REMEMBERED:
                head = rendered[markup[before] : start]
                self._known[ids[at[before]], head] = ids[at[before] + 1 : tokens.start]

    def _at(self, ids: Sequence[int], markup: Sequence[int]) -> list[int]:
        """Return where the markup is among the tokens; none of it where some was not found."""
        at = [place for place, id_ in enumerate(ids) if id_ in self._markup]
        return at if len(at) == len(markup) else []
