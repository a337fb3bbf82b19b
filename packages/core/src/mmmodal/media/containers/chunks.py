"""Check that a WAV, AIFF or CAF file holds the samples that it says, and correct a missing size.

A program that writes to a pipe does not know the size and leaves a placeholder; decoders differ in
what they make of it. Formats: Microsoft's RIFF, RF64 (EBU Tech 3306), BW64 (ITU-R BS.2088), Apple's
AIFF and CAF.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, NamedTuple

from mmmodal.media.containers.cuts import cut_off
from mmmodal.media.containers.mp3 import ends_whole
from mmmodal.media.containers.sections import Section

__all__ = ["AIFF", "CAF", "RIFF", "Dialect", "find_sound"]

MOST_CHUNKS = 10_000
DESCRIBED = 64  # bytes of a description that are read
SLOPPY = 16  # bytes; some writers count the header, or omit the padding of a chunk
PLACEHOLDER = 2**31 - 2**20  # bytes; writers to a pipe give about 2 or 4 GiB
LARGE = 0xFFFFFFFF  # the size is in the chunk ds64
MPEG = (0x50, 0x55)  # the codecs of a WAV whose frames have a size of their own
UNCOMPRESSED = (b"", b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"raw ")


class Dialect(NamedTuple):
    """A format of chunks."""

    first: int
    """The place of the first chunk."""

    head: Struct
    """The name and the size of a chunk."""

    padded: bool
    """Whether chunks begin at even places."""

    description: bytes
    data: bytes


RIFF = Dialect(12, Struct("<4sI"), True, b"fmt ", b"data")
AIFF = Dialect(12, Struct(">4sI"), True, b"COMM", b"SSND")
CAF = Dialect(8, Struct(">4sq"), False, b"desc", b"data")


class Chunk(NamedTuple):
    """One chunk: its name, and where its content lies."""

    name: bytes
    start: int
    size: int
    """As it is written; CAF writes -1 if it is unknown."""


def find_sound(file: BinaryIO, dialect: Dialect, origin: str) -> tuple[BinaryIO, bytes]:
    """Return a file whose header has the true size of its sound, and the description of that.

    The header may promise more by less than a frame, if all frames that there are are complete.

    Raises:
        MediaError: sound is missing.
    """
    end = file.seek(0, os.SEEK_END)
    description = large = b""
    for chunk in _chunks(file, dialect, end):
        if chunk.name == dialect.data:
            break
        if chunk.name == dialect.description:
            description = _content(file, chunk)
        elif chunk.name == b"ds64":
            large = _content(file, chunk)
    else:
        raise cut_off("before its sound", origin)
    promised, there = _promised(file, dialect, chunk, large, end), end - chunk.start
    if promised is not None and promised > there:
        if _is_cut(file, dialect, description, chunk.start, promised):
            where = f"after {there:,} of the {promised:,} bytes of sound in its header"
            raise cut_off(where, origin)
        promised = None
    replaced = _known(dialect, chunk, end) if promised is None else {}
    if large and _read(file, 0, 4) == b"BW64":  # as RF64, and more metadata
        replaced = {0: b"RF64", **replaced}
    return (Section(file, replaced=replaced) if replaced else file), description


def _chunks(file: BinaryIO, dialect: Dialect, end: int) -> Iterator[Chunk]:
    place = dialect.first
    for _ in range(MOST_CHUNKS):
        head = _read(file, place, dialect.head.size)
        if len(head) < dialect.head.size:
            return
        name, size = dialect.head.unpack(head)
        start = place + dialect.head.size
        yield Chunk(name, start, size)
        place = start + size + (size & 1 if dialect.padded else 0)
        if not start <= place <= end:
            return


def _promised(file: BinaryIO, dialect: Dialect, chunk: Chunk, large: bytes, end: int) -> int | None:
    """Return the number of bytes of sound that the header promises; None if it does not know."""
    size = int.from_bytes(large[8:16], "little") if large and chunk.size == LARGE else chunk.size
    if 0 < size < (2**62 if large else PLACEHOLDER):
        return size
    if size == 0 and _is_empty(file, dialect, chunk.start, end):
        return 0
    if dialect is CAF:
        return None
    order = "little" if dialect is RIFF else "big"
    whole = int.from_bytes(_read(file, 4, 4), order) + 8  # type: ignore[arg-type]
    return whole - chunk.start if max(end, chunk.start) + SLOPPY < whole < PLACEHOLDER else None


def _is_empty(file: BinaryIO, dialect: Dialect, start: int, end: int) -> bool:
    """Return whether only other chunks, or nothing, follow a size of zero."""
    place = start
    for chunk in _chunks(file, dialect._replace(first=start), end):
        place = chunk.start + chunk.size
        if not (chunk.name.isascii() and chunk.name.decode().isprintable()):
            return False
    return place in (end, end - 1)


def _is_cut(
    file: BinaryIO, dialect: Dialect, description: bytes, start: int, promised: int
) -> bool:
    there = file.seek(0, os.SEEK_END) - start
    if dialect is RIFF and int.from_bytes(description[:2], "little") in MPEG:
        return not ends_whole(file, start, promised - there)
    unit = _unit(dialect, description)
    return promised - there >= unit or there % unit != 0


def _unit(dialect: Dialect, description: bytes) -> int:
    """Return the number of bytes that are decoded together."""
    if dialect is RIFF:
        unit = int.from_bytes(description[12:14], "little")
    elif dialect is CAF:
        unit = int.from_bytes(description[16:20], "big")
    elif description[18:22] in UNCOMPRESSED:
        channels, bits = description[:2], int.from_bytes(description[6:8], "big")
        unit = int.from_bytes(channels, "big") * -(-bits // 8)
    else:
        unit = 1
    return max(unit, 1)


def _known(dialect: Dialect, chunk: Chunk, end: int) -> dict[int, bytes]:
    """Return the bytes of a header in which the sound reaches to the end, by their place."""
    size = end - chunk.start
    place = chunk.start - dialect.head.size
    head = {place: dialect.head.pack(dialect.data, size)}
    if dialect is CAF:
        return head
    outer = dialect.head.pack(b"RIFF" if dialect is RIFF else b"FORM", end - 8)
    return {0: outer, **head}


def _content(file: BinaryIO, chunk: Chunk) -> bytes:
    return _read(file, chunk.start, min(max(chunk.size, 0), DESCRIBED))


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
