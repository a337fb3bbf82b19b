"""Whether features will fit: what they will take, what is allowed, what is left."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from mmmodal.byte_sizes import readable
from mmmodal.contracts import Encoder
from mmmodal.errors import FeatureCacheError
from mmmodal.precision import read_dtype
from mmmodal.samples.feature_cache.media import Perceived, UnseenMedia
from mmmodal.samples.feature_cache.settings import Cache, FrozenTower
from mmmodal.samples.feature_cache.store import bytes_below

__all__ = ["check_growth", "check_room", "estimate", "room_for"]

SAMPLED = 64
"""Media of a modality whose sizes tell those of all."""


def estimate(unseen: UnseenMedia, towers: Mapping[str, FrozenTower], dtype: str) -> float:
    """Return the bytes of the features of all from those of some, of which no tower need be run."""
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
    return math.prod(encoder.shape(item.features)) * width


def check_room(cache: Cache, expected: float) -> None:
    """Refuse to begin what will not fit.

    Raises:
        FeatureCacheError: it exceeds the limit, or what the disk has left.
    """
    used = bytes_below(cache.folder)
    if cache.limit is not None and used + expected > cache.limit:
        raise FeatureCacheError(
            f"the features take about {readable(expected)}, and {readable(used)} are in "
            f"{cache.folder} already, of {readable(cache.limit)} allowed; raise "
            "feature_cache_limit, remove the folders of other towers there, or train without "
            "feature_cache"
        )
    free = shutil.disk_usage(_existing(cache.folder)).free
    if expected > free:
        raise FeatureCacheError(
            f"the features take about {readable(expected)}, and the disk of {cache.folder} has "
            f"{readable(free)} left; make room, or name another feature_cache"
        )


def check_growth(cache: Cache, more: int) -> None:
    """Refuse a shard that exceeds the limit.

    Raises:
        FeatureCacheError: there is more than was estimated.
    """
    if cache.limit is not None and bytes_below(cache.folder) + more > cache.limit:
        raise FeatureCacheError(
            f"{cache.folder} has reached {readable(cache.limit)}: there is more than was "
            "estimated; raise feature_cache_limit to go on from here, or train without "
            "feature_cache"
        )


def room_for(folder: Path, limit: int | None) -> int:
    """Return the bytes that a folder may come to, those in it included."""
    most = shutil.disk_usage(_existing(folder)).free + bytes_below(folder)
    return most if limit is None else min(most, limit)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(path for path in [folder, *folder.absolute().parents] if path.exists())
