"""What conversations are like: languages, lengths, turns and media, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COLUMNS", "Measured", "measure"]

COLUMNS = ("kind", "turns", "media", "relation")


@dataclass
class Measured:
    """Counts over rows; lengths are one number a row or a text."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    """Rows by the languages of their texts: `en`, `ms`, `en + ms`."""

    relations: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    """Rows by how many media of each kind they have: `2 image, 1 audio`."""

    turns: list[int] = field(default_factory=list)
    """Questions and answers together, by row."""

    questions: list[int] = field(default_factory=list)
    """Words of each turn of the user's."""

    answers: list[int] = field(default_factory=list)
    """Words of each turn of the assistant's."""


def measure(rows: Iterable[Mapping[str, Any]]) -> Measured:
    """Count what the columns of rows say, as Parquet files hold them."""
    found = Measured()
    for row in rows:
        found.rows += 1
        found.kinds[row["kind"]] += 1
        found.turns.append(len(row["turns"]))
        found.media[_media(row)] += 1
        if row["relation"]:
            found.relations[row["relation"]] += 1
        spoken = set()
        for turn in row["turns"]:
            texts = [piece for piece in turn["content"] if piece["text"] is not None]
            words = sum(len(piece["text"].split()) for piece in texts)
            if turn["role"] != "system":
                (found.questions if turn["role"] == "user" else found.answers).append(words)
            for piece in texts:
                spoken |= {piece["lang"] or _untold(piece)}
                spoken |= {"ms"} if piece["text_ms"] is not None else set()
        found.languages[" + ".join(sorted(spoken)) or "no text"] += 1
    return found


def _untold(piece: Mapping[str, Any]) -> str:
    # What was translated to Malay was English, as everywhere in the pipeline.
    return "en" if piece["text_ms"] is not None else "not stated"


def _media(row: Mapping[str, Any]) -> str:
    counts = Counter(medium["kind"] for medium in row["media"])
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
