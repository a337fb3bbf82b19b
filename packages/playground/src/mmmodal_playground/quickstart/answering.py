"""Conversations with media that are not theirs: what a model answers that does not look at any."""

from __future__ import annotations

from collections.abc import Sequence

from mmmodal.contracts.record import Record

__all__ = ["shuffle_media"]


def shuffle_media(records: Sequence[Record]) -> list[Record]:
    """Give every conversation media of others: the same kinds, in the same places.

    Media go round within each kind, by more places than a conversation has, so that none keeps
    one of its own.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for row, record in enumerate(records):
        for index, medium in enumerate(record.media):
            places.setdefault(medium.kind, []).append((row, index))
    media = [list(record.media) for record in records]
    for kind, ring in places.items():
        most = max(sum(m.kind == kind for m in record.media) for record in records)
        if len(ring) < 2 * most:
            raise ValueError(f"{len(ring)} media of kind {kind!r} are too few to exchange")
        for (row, index), (other, place) in zip(ring, ring[most:] + ring[:most], strict=True):
            media[row][index] = records[other].media[place]
    return [
        record.model_copy(update={"media": tuple(changed)})
        for record, changed in zip(records, media, strict=True)
    ]
