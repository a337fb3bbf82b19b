"""The split of a medium: it depends on the medium's name only, so that all rows agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmmodal_datagen.contracts.outcomes import Rejected
from mmmodal_datagen.fingerprints import digest

__all__ = ["split_of"]

STEPS = 1 << 32


def split_of(groups: Sequence[str], splits: Mapping[str, float], seed: int) -> str:
    """Return the split that all of `groups` are in; "" where there are no splits.

    Args:
        groups: the names of recordings or images.
        splits: the share of each split; the sum need not be one.
        seed: of the run.

    Raises:
        Rejected: the groups are in several splits.
    """
    if not splits:
        return ""
    found = {_split(group, splits, seed) for group in groups}
    if len(found) > 1:
        raise Rejected("media of several splits", " and ".join(sorted(found)))
    return found.pop()


def _split(group: str, splits: Mapping[str, float], seed: int) -> str:
    place = int(digest(["split", seed, group])[:8], 16) / STEPS * sum(splits.values())
    for name, share in splits.items():
        place -= share
        if place < 0:
            return name
    return name
