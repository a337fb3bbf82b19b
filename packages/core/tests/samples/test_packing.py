"""Packs are nearly full, hold every sample once, and come about in the order of the samples."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmodal.samples.packing import WINDOW, Packer
from packing_bound import fewest_packs

IMAGE = 576 + 2  # slots of a picture in SigLIP-base at 384 pixels, and its markers


def like_the_paper(chance: random.Random) -> int:
    """1 to 4 media, clips of 2 to 30 s with 50 positions a second, 20 to 400 words."""
    media = [
        chance.choice([IMAGE, int(chance.uniform(2, 30) * 50) + 2])
        for _ in range(chance.randint(1, 4))
    ]
    return sum(media) + int(chance.uniform(20, 400) * 1.6)


def as_in_the_bench(chance: random.Random) -> int:
    """1 to 4 media, every clip 1,500 positions for its 30 s: hardly two fit into 4,096."""
    media = [
        chance.choice([IMAGE, 50 * chance.randint(2, 30)]) for _ in range(chance.randint(1, 4))
    ]
    return min(4096, sum(media) + chance.randint(20, 400))


MIXES: dict[str, tuple[int, Callable[[random.Random], int]]] = {
    "the paper's": (8192, like_the_paper),
    "pictures with a caption": (8192, lambda chance: IMAGE + chance.randint(10, 90)),
    "short dialogues": (2048, lambda chance: chance.randint(40, 500)),
    "one long among short": (4096, lambda chance: chance.choice([3500, *[90] * 9])),
}


@pytest.mark.parametrize("mix", MIXES)
def test_packs_are_nearly_full(mix: str) -> None:
    capacity, length = MIXES[mix]
    chance = random.Random(0)
    lengths = [length(chance) for _ in range(4000)]
    packs = list(Packer(lengths, capacity).packs(range(4000)))
    assert sum(lengths) / (capacity * len(packs)) > 0.97
    assert max(sum(lengths[sample] for sample in pack) for pack in packs) <= capacity


@pytest.mark.parametrize(
    ("capacity", "length"),
    [
        (4096, lambda chance: IMAGE + chance.randint(10, 120)),  # six at most: 0.94
        (4096, as_in_the_bench),
        *MIXES.values(),
    ],
    ids=["six pictures", "as in the bench", *MIXES],
)
def test_no_packing_needs_much_fewer(capacity: int, length: Callable[[random.Random], int]) -> None:
    """Where packs stay emptier than 0.97, it is the lengths that do not fit."""
    chance = random.Random(3)
    lengths = [length(chance) for _ in range(4000)]
    packs = list(Packer(lengths, capacity).packs(range(4000)))
    assert len(packs) <= 1.03 * fewest_packs(lengths, capacity)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.integers(20, 30))
def test_the_bound_is_never_more_than_the_fewest(lengths: list[int], capacity: int) -> None:
    assert fewest_packs(lengths, capacity) <= fewest_by_trying(sorted(lengths)[::-1], capacity, [])


def fewest_by_trying(lengths: list[int], capacity: int, room: list[int]) -> int:
    if not lengths:
        return len(room)
    first, rest = lengths[0], lengths[1:]
    tries = [fewest_by_trying(rest, capacity, [*room, capacity - first])]
    for i, left in enumerate(room):
        if first <= left:
            more = [*room[:i], left - first, *room[i + 1 :]]
            tries.append(fewest_by_trying(rest, capacity, more))
    return min(tries)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 100), max_size=200), st.integers(1, 40))
def test_every_sample_is_in_one_pack_that_it_fits(lengths: list[int], window: int) -> None:
    packs = list(Packer(lengths, 100, window).packs(range(len(lengths))))
    assert sorted(sample for pack in packs for sample in pack) == list(range(len(lengths)))
    assert all(sum(lengths[sample] for sample in pack) <= 100 for pack in packs)


def test_samples_are_read_a_window_at_a_time() -> None:
    """So a stream of any length can be packed."""
    read: list[int] = []

    def endless():
        for number in range(10**9):
            read.append(number)
            yield number % 100

    packs = list(islice(Packer([30] * 100, 128).packs(endless()), 10))
    assert len(packs) == 10 and len(read) <= 6 * WINDOW


def test_no_sample_comes_much_later_than_its_turn() -> None:
    chance = random.Random(1)
    lengths = [chance.choice([700, 900, 60]) for _ in range(20_000)]
    place = {
        sample: number
        for number, pack in enumerate(Packer(lengths, 1000).packs(range(20_000)))
        for sample in pack
    }
    packs = 1 + max(place.values())
    late = [place[sample] / packs - sample / 20_000 for sample in place]
    assert max(late) < 6 * WINDOW / 20_000


def test_packs_do_not_come_longest_first() -> None:
    chance = random.Random(2)
    lengths = [like_the_paper(chance) for _ in range(WINDOW)]
    packs = list(Packer(lengths, 8192).packs(range(WINDOW)))
    longest = [max(lengths[sample] for sample in pack) for pack in packs[:-5]]
    half = len(longest) // 2
    first, second = sum(longest[:half]) / half, sum(longest[half:]) / (len(longest) - half)
    assert abs(first / second - 1) < 0.25
