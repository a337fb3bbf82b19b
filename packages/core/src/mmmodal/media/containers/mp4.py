"""Check the boxes of an MP4 or MOV file (ISO/IEC 14496-12 §4.2) before libav reads them.

They show whether the file is whole and whether its sound is encrypted. Some tables hold only a
number of entries, for each of which libav takes 36 bytes (measured): a file of a kilobyte could
take gigabytes.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, cut_off

__all__ = ["check_boxes"]

HEADER = 8  # bytes
PARENTS = {
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"meta", b"ilst"),
    *(b"moof", b"traf", b"mvex", b"mfra"),
}
# Neither holds a table whose entries take no bytes.
OPAQUE = {b"mdat", b"free", b"skip", b"wide", b"covr", b"stco", b"co64"}
TABLE = re.compile(rb"stsz|stz2|stts|ctts|trun|cmov")
MOST_INDEX = 32 * 2**20  # bytes of the boxes that this module reads
MOST_BOXES = 100_000
MOST_FRAMES = 500_000
AT_ONCE = 1_000  # samples of uncompressed sound in a frame of libav
TOO_MANY = 2 * AT_ONCE * MOST_FRAMES
ENCRYPTED = re.compile(rb"enca|drms")


class Box(NamedTuple):
    """One box: its type, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


def check_boxes(file: BinaryIO, origin: str) -> None:
    """Check all boxes.

    Raises:
        MediaError: a box is cut off, the sound is encrypted, or tables have too many entries.
    """
    size = file.seek(0, os.SEEK_END)
    index = boxes = frames = 0
    for box in _top(file, size, origin):
        if box.kind in OPAQUE:
            continue
        index += box.end - box.start
        if index > MOST_INDEX:
            raise _too_much(f"more than {MOST_INDEX:,} bytes", origin)
        file.seek(box.start)
        data = file.read(box.end - box.start)
        pending = [Box(box.kind, 0, len(data))]
        while pending:
            leaves = [*_leaves(pending.pop(), data, origin)]
            pending += [leaf for leaf in leaves if leaf.kind == b"trak"]
            boxes += len(leaves)
            if boxes > MOST_BOXES:
                raise _too_much(f"more than {MOST_BOXES:,} boxes", origin)
            frames += _frames(leaves, memoryview(data), origin)
            if frames > MOST_FRAMES:
                raise _too_much(f"{frames:,} frames", origin)


def _top(file: BinaryIO, size: int, origin: str) -> Iterator[Box]:
    place = 0
    for _ in range(MOST_BOXES):
        if size - place < HEADER and place:  # a few bytes after the last box are no box
            return
        file.seek(place)
        box = _box(file.read(2 * HEADER), 0, size - place, origin)
        yield Box(box.kind, place + box.start, place + box.end)
        place += box.end
    raise _too_much(f"more than {MOST_BOXES:,} boxes", origin)


def _leaves(parent: Box, data: bytes, origin: str) -> Iterator[Box]:
    """Yield the boxes in `parent` that hold no others, at any depth; a track is yielded whole."""
    pending, seen = [parent], 0
    while pending:
        box = pending.pop()
        place = None if box.kind == b"trak" and box != parent else _first_child(box, data)
        if place is None:
            yield box
            continue
        while box.end - place >= HEADER:  # QuickTime ends a list with four zeros
            child = _box(data, place, box.end, origin)
            place = child.end
            pending.append(child)
            seen += 1
            if seen > MOST_BOXES:
                raise _too_much(f"more than {MOST_BOXES:,} boxes", origin)


def _first_child(box: Box, data: bytes) -> int | None:
    if box.kind != b"meta":
        return box.start if box.kind in PARENTS else None
    # After a version, or in QuickTime without one; libav searches for the first child too.
    handler = data.find(b"hdlr", box.start, box.end)
    return handler - 4 if handler >= box.start + 4 else None


def _box(data: bytes, place: int, end: int, origin: str) -> Box:
    """Read the head of the box at `place` of `data`, which must end by `end`."""
    size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
    start = place + HEADER
    if size == 1:
        size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
    elif size == 0:
        size = end - place
    if len(kind) < 4 or place + size > end:
        name = f" ({kind.decode()})" if kind.isalnum() else ""  # the type itself may be damaged
        raise cut_off(f"within a box{name}", origin)
    if place + size < start:
        raise MediaError("unreadable", origin, "its boxes are damaged; replace the file")
    return Box(kind, start, place + size)


def _frames(leaves: list[Box], data: memoryview, origin: str) -> int:
    """Return the number of frames for which libav takes memory, in a track or outside of all."""
    frames, steps = 0, set()
    for box in leaves:
        if box.kind in OPAQUE or box.kind == b"trak":
            continue
        content = data[box.start : box.end]
        if box.kind == b"stsd" and ENCRYPTED.search(content):
            raise MediaError("format", origin, "its sound is encrypted; give a decrypted copy")
        if box.kind == b"stts":
            steps.add(bytes(content[4:8]) + bytes(content[12:16]))
        frames += _claimed(box.kind, content)
        for number, hidden in enumerate(TABLE.finditer(content)):  # libav may read these tables too
            kind, end = bytes(hidden[0]), hidden.end()
            frames += _claimed(kind, content[end:])
            frames += _claimed(kind, content[end + 8 :])  # after a size of 64 bits
            if number > MOST_BOXES or frames >= TOO_MANY:
                raise _too_much(f"{number:,} tables and {frames:,} frames", origin)
    # One step of one tick is uncompressed sound.
    return frames // AT_ONCE if steps == {b"\0\0\0\1" * 2} else frames


def _claimed(kind: bytes, content: memoryview) -> int:
    match kind:
        case b"stsz" | b"stz2":
            return int.from_bytes(content[8:12], "big")
        case b"trun":
            return int.from_bytes(content[4:8], "big")
        case b"stts" | b"ctts":
            entries = min(int.from_bytes(content[4:8], "big"), (len(content) - 8) // 8)
            if entries > MOST_FRAMES:  # libav takes memory for each entry, whatever it counts
                return TOO_MANY
            counts = struct.unpack_from(f">{2 * entries}I", content, 8)[::2] if entries > 0 else ()
            return sum(counts)
        case b"cmov":
            return TOO_MANY  # a compressed index can have any size
    return 0


def _too_much(what: str, origin: str) -> MediaError:
    return MediaError("too-large", origin, f"its index has {what}; {CONVERT}")
