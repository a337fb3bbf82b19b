"""Turns of conversations as HTML: texts, and media where they come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

__all__ = ["medium_names", "paragraph", "turn_contents"]


def medium_names(kinds: Iterable[str]) -> list[str]:
    """Return the name of each medium of a conversation: its kind, and its number among those."""
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(f"{kind} {seen[kind]}")
    return names


def paragraph(text: str, lang: str | None = None) -> str:
    """Return a text of a turn as HTML, in the language of that code."""
    code = f' lang="{escape(lang)}"' if lang else ""
    return f'<p dir="auto"{code}>{escape(text)}</p>'


def turn_contents(pieces: Iterable[str | int], figures: Sequence[str]) -> str:
    """Return what a turn holds as HTML.

    Args:
        pieces: HTML of texts, and the indices of media.
        figures: each medium as HTML.
    """
    found = []
    for is_text, some in groupby(pieces, lambda piece: isinstance(piece, str)):
        if is_text:
            found += [str(piece) for piece in some]
        else:
            found.append(f'<div class="media">{"".join(figures[int(n)] for n in some)}</div>')
    return "".join(found)
