"""Which pairs a run asks about: out of all rows with one described medium, split by split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mmmodal_datagen.contracts import Context, Rejected
from mmmodal_datagen.steps.relate.pairs import Candidate, How, Pair, draw_pairs

__all__ = ["GROUP", "Plan", "plan_pairs"]

KINDS = ("image", "audio")
GROUP = "group"
"""What is shared by clips of one recording."""


@dataclass(frozen=True)
class Plan:
    """All pairs, and what became of the rows that are in none."""

    pairs: list[Pair]
    refused: list[tuple[int, str]]
    """Rows that no pair can be made of, and why."""

    notes: dict[str, int]
    """What was not found, and media that were not used, for the summary."""


@dataclass
class _Media:
    """The media that pairs may be drawn of, by split, and the rows that bring none."""

    by_split: dict[str, list[Candidate]]
    refused: list[tuple[int, str]]
    repeated: int = 0


def plan_pairs(
    rows: pa.Table,
    wanted: Mapping[str, int],
    draw: Mapping[How, float],
    *,
    shared: Sequence[str],
    similarity: float,
    context: Context,
) -> Plan:
    """Draw the pairs of every kind from the media of every split.

    Args:
        rows: with `media` and `groups`.
        wanted: how many of each kind, such as `audio-image`.
        draw: the part that is drawn in each way.
        shared: the facts that two media may share.
        similarity: from which descriptions are alike.
        context: of the run; its seed decides the pairs.
    """
    media = _media(rows, shared, context)
    shares = dict(context.splits) or {"": 1.0}
    pairs: list[Pair] = []
    notes: Counter[str] = Counter(media_repeated=media.repeated)
    for split, share in shares.items():
        there = media.by_split.get(split, [])
        drawn: list[Pair] = []
        for kind, number in wanted.items():
            first, second = kind.split("-")
            due = round(number * share / sum(shares.values()))
            chance = context.chance("pairs", kind, split)
            found = draw_pairs(there, (first, second), due, draw, similarity, chance)
            notes[f"short_{kind}"] += due - len(found)
            drawn += found
        used = {row for pair in drawn for row in (pair.first, pair.second)}
        for each in there:
            notes[f"unused_{each.kind}"] += each.row not in used
        pairs += drawn
    # In no order, so that every shard has pairs of all kinds.
    context.chance("order").shuffle(pairs)
    return Plan(pairs, media.refused, {name: n for name, n in sorted(notes.items()) if n})


def _media(rows: pa.Table, shared: Sequence[str], context: Context) -> _Media:
    found = _Media({}, [])
    seen = set()
    for row, (media, groups) in enumerate(_cells(rows)):
        if reason := _unfit(media):
            found.refused.append((row, reason))
            continue
        (medium,) = media
        name = (medium["kind"], medium["sha256"] or medium["uri"], medium["start_s"])
        if name in seen:
            found.repeated += 1
            continue
        seen.add(name)
        try:
            split = context.split(groups)
        except Rejected as error:
            found.refused.append((row, error.reason))
            continue
        shares = tuple(_shares(medium, groups, shared))
        each = Candidate(row, medium["kind"], medium["description"], shares)
        found.by_split.setdefault(split, []).append(each)
    return found


def _cells(rows: pa.Table) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    for batch in rows.select(["media", "groups"]).to_batches(max_chunksize=1000):
        columns = (batch.column(name).to_pylist() for name in ("media", "groups"))
        yield from zip(*columns, strict=True)


def _unfit(media: Sequence[Mapping[str, Any]]) -> str:
    if len(media) != 1:
        return "not one medium"
    if media[0]["kind"] not in KINDS:
        return "neither image nor audio"
    return "" if (media[0]["description"] or "").strip() else "no description"


def _shares(
    medium: Mapping[str, Any], groups: Sequence[str], shared: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the facts of a medium that another one may share."""
    facts = json.loads(medium["facts"]) if medium["facts"] else {}
    for name in shared:
        if name == GROUP:
            yield from ((GROUP, group) for group in groups)
        elif isinstance(value := facts.get(name), str | int | float):
            yield name, str(value).strip().casefold()
