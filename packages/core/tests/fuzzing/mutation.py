"""Damage, as transfers, editors and attackers do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["mutate"]

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADER, INDEX = 200, 1_500  # bytes at the start and at the end, where most formats keep structure
LONGEST = 64  # bytes that are moved at once


def mutate(files: Sequence[bytes], number: int) -> tuple[int, bytes, list[str]]:
    """Return which file was damaged, what became of it, and how; `number` determines all three."""
    random = np.random.default_rng(number)
    which = number % len(files)
    body, steps = bytearray(files[which]), []
    for _ in range(random.integers(1, 5)):
        step = STEPS[random.integers(len(STEPS))]
        step(body, random, files[int(random.integers(len(files)))])
        steps.append(step.__name__)
        body = body or bytearray(b"\0")
    return which, bytes(body), steps


def flip_bits(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """As bad memory and links do."""
    for _ in range(random.integers(1, 9)):
        body[_place(body, random)] ^= 1 << int(random.integers(8))


def overwrite_field(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """A number that its reader may not expect."""
    width = int(random.choice([1, 2, 4]))
    value = EXTREMES[random.integers(len(EXTREMES))] & (256**width - 1)
    place = _place(body, random)
    order = "big" if random.random() < 0.5 else "little"
    body[place : place + width] = value.to_bytes(width, order)


def overwrite_noise(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """Random bytes in place of others."""
    place, length = _place(body, random), int(random.integers(1, LONGEST))
    body[place : place + length] = random.bytes(length)


def truncate(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """As broken transfers and full disks do."""
    del body[int(random.integers(1, len(body) + 1)) :]


def delete(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """A part is missing."""
    place = _place(body, random)
    del body[place : place + int(random.integers(1, LONGEST))]


def duplicate(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """A part comes again, at once or elsewhere."""
    start, place = _place(body, random), _place(body, random)
    body[place:place] = body[start : start + int(random.integers(1, LONGEST))]


def splice(body: bytearray, random: np.random.Generator, other: bytes) -> None:
    """A part of another file, or its whole end."""
    place, start = _place(body, random), int(random.integers(len(other)))
    if random.random() < 0.5:
        body[place:] = other[start:]
    else:
        body[place : place + LONGEST] = other[start : start + LONGEST]


Step = Callable[[bytearray, np.random.Generator, bytes], None]
STEPS: tuple[Step, ...] = (
    *(flip_bits, flip_bits, overwrite_field, overwrite_field, overwrite_noise),
    *(truncate, delete, duplicate, splice),
)


def _place(body: bytearray, random: np.random.Generator) -> int:
    chance = random.random()
    if chance < 0.4:
        return int(random.integers(min(len(body), HEADER)))
    if chance < 0.6:
        return int(random.integers(max(len(body) - INDEX, 0), len(body)))
    return int(random.integers(len(body)))
