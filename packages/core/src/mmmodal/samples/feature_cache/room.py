"""Check whether features fit: their estimated size, the limit, and the free space."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from mmmodal.byte_sizes import readable
from mmmodal.contracts import Encoder
from mmmodal.contracts.encoder import shape_of
from mmmodal.errors import FeatureCacheError
from mmmodal.precision import read_dtype
from mmmodal.samples.feature_cache.media import Perceived, UnseenMedia
from mmmodal.samples.feature_cache.settings import Cache, FrozenTower
from mmmodal.samples.feature_cache.store import bytes_below

__all__ = ["check_growth", "check_room", "estimate", "room_for"]

SAMPLED = 64
"""The number of media of a modality from which the size of all is estimated."""


def estimate(unseen: UnseenMedia, towers: Mapping[str, FrozenTower], dtype: str) -> float:
    """Return the estimated bytes of all features, from the shapes of some, without the tower."""
    total = 0.0
    for places in unseen.places().values():
        looked = [unseen[i] for i in places[:: math.ceil(len(places) / SAMPLED)]]
        sizes = [
            _bytes(item, towers[item.kind].encoder, dtype) for item in looked if item.error is None
        ]
        total += sum(sizes) / max(1, len(sizes)) * len(places)
    return total


def _bytes(item: Perceived, encoder: Encoder, dtype: str) -> int:
    width: int = read_dtype(dtype).itemsize * encoder.width
    return math.prod(shape_of(encoder, item.features)) * width


def check_room(cache: Cache, expected: float) -> None:
    """Check that the expected features fit, before they are computed.

    Raises:
        FeatureCacheError: they exceed the limit or the free space of the disk.
    """
    used = bytes_below(cache.folder)
    if cache.limit is not None and used + expected > cache.limit:
        raise FeatureCacheError(
            f"the features take about {readable(expected)}, but {cache.folder} already has "
            f"{readable(used)} of its limit of {readable(cache.limit)}; raise "
            "feature_cache_limit, remove the folders of other towers there, or train without "
            "feature_cache"
        )
    free = shutil.disk_usage(_existing(cache.folder)).free
    if expected > free:
        raise FeatureCacheError(
            f"the features take about {readable(expected)}, but the disk of {cache.folder} has "
            f"only {readable(free)} free; make room, or name another feature_cache"
        )


def check_growth(cache: Cache, more: int) -> None:
    """Check that a further shard is within the limit.

    Raises:
        FeatureCacheError: the features are larger than estimated.
    """
    if cache.limit is not None and bytes_below(cache.folder) + more > cache.limit:
        raise FeatureCacheError(
            f"{cache.folder} has reached its limit of {readable(cache.limit)}: the features are "
            "larger than estimated; raise feature_cache_limit to continue, or train without "
            "feature_cache"
        )


def room_for(folder: Path, limit: int | None) -> int:
    """Return the maximum size of a folder in bytes, including its current content."""
    most = shutil.disk_usage(_existing(folder)).free + bytes_below(folder)
    return most if limit is None else min(most, limit)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest parent that exists."""
    return next(path for path in [folder, *folder.absolute().parents] if path.exists())
