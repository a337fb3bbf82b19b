"""Join conversations about one medium into sessions about several (paper §4.4)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmmodal.conversation.records import MediaRef, Message, Part, Record
from mmmodal.errors import RecordError

__all__ = ["compose_sessions", "moved", "relative_uri"]


def compose_sessions(
    pools: Sequence[Sequence[Record]],
    weights: Sequence[float],
    *,
    sessions: int,
    smallest: int = 2,
    largest: int = 4,
    seed: int = 0,
) -> Iterator[Record]:
    """Draw each session's records from the pools, every record at most once.

    The paper draws 2 to 4 records a session, an image with probability 0.6 and audio otherwise.
    Pools are shuffled once and then read in order, so the time is linear; the paper's own script
    rebuilds the set of unused rows for every draw. When the pool that was drawn is empty the
    session is not begun, and the sequence ends early.

    Args:
        pools: the records to draw from, by kind.
        weights: the probability of each pool.
        sessions: how many sessions to make at most.
        smallest: the fewest records in a session.
        largest: the most records in a session.
        seed: the same seed gives the same sessions.
    """
    chance = random.Random(seed)
    left = [list(pool) for pool in pools]
    for pool in left:
        chance.shuffle(pool)
    for number in range(sessions):
        size = chance.randint(smallest, largest)
        drawn = chance.choices(range(len(left)), weights, k=size)
        if any(drawn.count(pool) > len(left[pool]) for pool in drawn):
            return
        yield _joined(f"session-{seed}-{number}", [left[pool].pop() for pool in drawn])


def moved(record: Record, folder: Path, target: Path) -> Record:
    """Return a record of a file in `folder` as a file in `target` would write it.

    Raises:
        RecordError: a medium would lie outside of `target`, where no loader looks.
    """
    where = f"record {record.id!r}"
    uris = [relative_uri(ref.uri, where, folder, target) for ref in record.media]
    media = [
        ref.model_copy(update={"uri": uri}) for ref, uri in zip(record.media, uris, strict=True)
    ]
    return record.model_copy(update={"media": tuple(media)})


def relative_uri(uri: str, where: str, folder: Path, target: Path) -> str:
    """Return a path that begins in `folder` as one that begins in `target`.

    Raises:
        RecordError: it lies outside of `target`; `where` is named.
    """
    if uri.startswith("data:") or os.path.isabs(uri):
        return uri
    found = Path(os.path.relpath(folder / uri, target))
    if found.parts[:1] == (os.pardir,):
        reason = f"its medium {uri!r} lies outside of {target}; write to a folder that holds it"
        raise RecordError(where, reason)
    return found.as_posix()


def _joined(name: str, records: Sequence[Record]) -> Record:
    messages: list[Message] = []
    media: list[MediaRef] = []
    for record in records:
        messages += [_shifted(message, len(media)) for message in record.messages]
        media += record.media
    languages = {record.lang for record in records}
    return Record(
        id=name,
        messages=tuple(messages),
        media=tuple(media),
        lang=languages.pop() if len(languages) == 1 else None,
        meta={"records": [record.id for record in records]},
    )


def _shifted(message: Message, offset: int) -> Message:
    parts = [
        part if part.media is None else Part(type=part.type, media=part.media + offset)
        for part in message.content
    ]
    return Message(role=message.role, content=tuple(parts))
