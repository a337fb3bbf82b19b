"""The plan of pairs: from all rows with one described medium, by split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mmmodal.authoring.plugins import registry
from mmmodal_datagen.contracts import Context, Rejected
from mmmodal_datagen.steps.relate.pairs import Candidate, How, Pair, draw_pairs

__all__ = ["GROUP", "Plan", "plan_pairs"]

GROUP = "group"
"""The name of the fact that clips of one recording share."""


@dataclass(frozen=True)
class Plan:
    """All pairs, and the rows that cannot be in one."""

    pairs: list[Pair]
    refused: list[tuple[int, str]]
    """Rows that cannot be in a pair, and the reasons."""

    notes: dict[str, int]
    """Counts of missing pairs and unused media, for the summary."""


@dataclass
class _Media:
    """The media that may be in pairs, by split, and the rows without one."""

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
    """Return the pairs of every kind, drawn within each split.

    Args:
        rows: with `media` and `groups`.
        wanted: the number of each kind, such as `audio-image`.
        draw: the share of each way of drawing.
        shared: names of facts that a pair may share.
        similarity: the least of similar descriptions.
        context: of the step; the pairs depend on its seed.
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
    # Shuffled, so that every shard has pairs of all kinds.
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
    if media[0]["kind"] not in registry().names("modalities"):
        return "of a modality that no plugin brings"
    return "" if (media[0]["description"] or "").strip() else "no description"


def _shares(
    medium: Mapping[str, Any], groups: Sequence[str], shared: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the facts of a medium that a pair may share."""
    facts = json.loads(medium["facts"]) if medium["facts"] else {}
    for name in shared:
        if name == GROUP:
            yield from ((GROUP, group) for group in groups)
        elif isinstance(value := facts.get(name), str | int | float):
            yield name, str(value).strip().casefold()
