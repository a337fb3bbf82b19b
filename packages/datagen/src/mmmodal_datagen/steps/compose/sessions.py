"""Sessions joined from rows, a whole column at a time: there can be millions."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmmodal_datagen.rows.tables import row_schema
from mmmodal_datagen.texts.ordinals import PATTERN, WORDS, renumbered

__all__ = ["join_rows"]

ID_LENGTH = 32  # hexadecimal digits


def join_rows(rows: pa.Table, starts: np.ndarray, origin: str, fingerprint: str) -> pa.Table:
    """Return a table of sessions.

    Turns, media, groups and origins of the rows are concatenated. Indices of media, and numbers of
    media in texts, are counted from the start of the session.

    Args:
        rows: the rows of all sessions, one session after the other.
        starts: [sessions + 1] the start of each session in `rows`.
        origin: of this step, as JSON.
        fingerprint: of this step.
    """
    rows = rows.combine_chunks()
    sessions = len(starts) - 1
    ids = _array(rows, "id")
    nothing = pa.nulls(sessions, pa.string())
    columns = {
        "id": _names(ids, starts, fingerprint),
        "kind": pa.array(["session"] * sessions, pa.string()),
        "turns": _regrouped(_moved_turns(rows, starts), starts),
        "media": _regrouped(_array(rows, "media"), starts),
        "relation": nothing,
        "parents": pa.ListArray.from_arrays(pa.array(starts, pa.int32()), ids),
        "groups": _regrouped(_array(rows, "groups"), starts),
        "metrics": pa.array(["{}"] * sessions, pa.string()),
        "gates": pa.array([[]] * sessions, row_schema().field("gates").type),
        "origins": _origins(_array(rows, "origins"), starts, origin),
        "licence": _licences(_array(rows, "licence"), starts),
        "source_url": nothing,
        "synthetic": _any(_array(rows, "synthetic"), starts),
        "meta": nothing,
    }
    return pa.table(columns, row_schema())


def _array(rows: pa.Table, name: str) -> Any:
    column = rows.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _regrouped(lists: Any, starts: np.ndarray) -> Any:
    """Join the lists of each session: the values stay, only the offsets change."""
    offsets = lists.offsets.to_numpy()[starts]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lists.values)


def _moved_turns(rows: pa.Table, starts: np.ndarray) -> Any:
    """Return the turns of each row, with media counted from the start of the session."""
    turns = _array(rows, "turns")
    content = turns.values.field("content")
    pieces = content.values
    row_of_turn = np.repeat(np.arange(len(turns)), np.diff(turns.offsets.to_numpy()))
    row_of_piece = np.repeat(row_of_turn, np.diff(content.offsets.to_numpy()))
    media = _array(rows, "media")
    before = _before(np.diff(media.offsets.to_numpy()), starts)  # [rows]
    fields = {name: pieces.field(name) for name in (f.name for f in pieces.type)}
    fields["media"] = pc.add(fields["media"], pa.array(before[row_of_piece], pa.int32()))
    counts = _counts(media)
    for name in ("text", "text_ms"):
        fields[name] = _renumbered(fields[name], row_of_piece, counts, starts)
    moved = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    content = pa.ListArray.from_arrays(content.offsets, moved)
    whole = pa.StructArray.from_arrays([turns.values.field("role"), content], ["role", "content"])
    return pa.ListArray.from_arrays(turns.offsets, whole)


def _before(counts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return, for each row, the sum of `counts` of the earlier rows of its session."""
    total = np.concatenate(([0], np.cumsum(counts)))
    before: np.ndarray = total[:-1] - np.repeat(total[starts[:-1]], np.diff(starts))
    return before


def _counts(media: Any) -> dict[str, np.ndarray]:
    """Return, for each kind, the number of media of each row."""
    kinds = media.values.field("kind")
    offsets = media.offsets.to_numpy()
    found = {}
    for kind in WORDS:
        same = pc.equal(kinds, kind).to_numpy(zero_copy_only=False)
        total = np.concatenate(([0], np.cumsum(same)))
        found[kind] = total[offsets[1:]] - total[offsets[:-1]]
    return found


def _renumbered(
    texts: Any, row_of_piece: np.ndarray, counts: dict[str, np.ndarray], starts: np.ndarray
) -> Any:
    """Return the texts with media renumbered; only texts with a number are changed."""
    before = {kind: _before(count, starts) for kind, count in counts.items()}
    moved = (
        np.sum(list(before.values()), axis=0)[row_of_piece] > 0
    )  # [pieces]; the first row of a session is unchanged
    numbered = pc.fill_null(pc.match_substring_regex(texts, PATTERN), False)
    numbered = pc.and_(numbered, pa.array(moved))
    places = np.flatnonzero(numbered.to_numpy(zero_copy_only=False))
    if not len(places):
        return texts
    rows = row_of_piece[places]
    here = _by_row({kind: count[rows] for kind, count in counts.items()})
    ahead = _by_row({kind: count[rows] for kind, count in before.items()})
    old = texts.filter(numbered).to_pylist()
    changed = [renumbered(*each) for each in zip(old, here, ahead, strict=True)]
    return pc.replace_with_mask(texts, numbered, pa.array(changed, pa.string()))


def _by_row(counts: dict[str, np.ndarray]) -> list[dict[str, int]]:
    """Return the counts of each row as a dictionary by kind."""
    columns = [column.tolist() for column in counts.values()]
    return [dict(zip(counts, row, strict=True)) for row in zip(*columns, strict=True)]


def _names(ids: Any, starts: np.ndarray, fingerprint: str) -> Any:
    names = ids.to_pylist()
    made = []
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        text = "\n".join([fingerprint, *names[first:last]])
        made.append(hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH])
    return pa.array(made, pa.string())


def _origins(origins: Any, starts: np.ndarray, own: str) -> Any:
    """Join the JSON lists of origins of each session, and add this step."""
    bare = pc.utf8_slice_codeunits(origins, 1, -1)
    lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), bare)
    joined = pc.binary_join(lists, ", ")
    return pc.binary_join_element_wise("[", joined, ", ", own, "]", "")


def _licences(licences: Any, starts: np.ndarray) -> Any:
    """Return the licences of each session, joined by AND."""
    codes = licences.dictionary_encode()
    names = [*codes.dictionary.to_pylist(), None]
    numbers = pc.fill_null(codes.indices, len(names) - 1).to_numpy()
    if len(starts) < 2:
        return pa.array([], pa.string())
    low = np.minimum.reduceat(numbers, starts[:-1])
    high = np.maximum.reduceat(numbers, starts[:-1])
    made: list[str | None] = [names[code] for code in low]
    for session in np.flatnonzero(low != high):
        used = {names[code] for code in numbers[starts[session] : starts[session + 1]]}
        made[session] = " AND ".join(sorted(name or "unknown" for name in used))
    return pa.array(made, pa.string())


def _any(values: Any, starts: np.ndarray) -> Any:
    if len(starts) < 2:
        return pa.array([], pa.bool_())
    flags = values.to_numpy(zero_copy_only=False)
    return pa.array(np.logical_or.reduceat(flags, starts[:-1]), pa.bool_())
