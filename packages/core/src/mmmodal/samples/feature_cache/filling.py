"""Fill the cache: run frozen towers on all media of the data that have no features yet.

n positions of an item, D width of the tower.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmmodal.byte_sizes import readable
from mmmodal.contracts.encoder import collated, encoded, shape_of
from mmmodal.errors import RecordError
from mmmodal.precision import read_dtype
from mmmodal.ranks import rank, ranks, summed
from mmmodal.samples.feature_cache.key import name_of
from mmmodal.samples.feature_cache.media import Medium, Perceived, UnseenMedia, fingerprints
from mmmodal.samples.feature_cache.room import check_growth, check_room, estimate
from mmmodal.samples.feature_cache.settings import Cache, FrozenTower
from mmmodal.samples.feature_cache.store import FeatureStore
from mmmodal.samples.preparer import Preparer

__all__ = ["fill_cache"]

POSITIONS = 8192
"""The approximate number of positions in one call of a tower."""


def fill_cache(
    towers: Mapping[str, FrozenTower], media: Sequence[Medium], preparer: Preparer, cache: Cache
) -> dict[str, FeatureStore]:
    """Return the stores of modalities, with the features of all of `media`.

    Each rank computes a share, and waits for the others.

    Args:
        towers: the tower of each modality.
        media: the media of these modalities.
        preparer: the preparer of the model with the towers.
        cache: the settings of the cache.

    Raises:
        FeatureCacheError: the features would exceed the limit or the disk; none are computed.
        RecordError: a medium cannot be read; names its row.
    """
    for tower in towers.values():
        tower.network.eval()
    stores = {name: _open(tower, cache) for name, tower in towers.items()}
    missing = list(_missing(media[rank() :: ranks()], stores, preparer, cache))
    unseen = UnseenMedia(missing, preparer)
    expected = summed(estimate(unseen, towers, cache.dtype))
    count = summed(len(missing))
    if count:
        check_room(cache, expected)
        if rank() == 0:
            message = f"Computing features of {count:,.0f} media, about {readable(expected)}"
            print(message, file=sys.stderr)
        _compute(towers, unseen, stores, cache)
        summed(0)  # waits for the other ranks
    for store in stores.values():
        store.refresh()
    return stores


def _open(tower: FrozenTower, cache: Cache) -> FeatureStore:
    return FeatureStore(cache.folder / name_of(tower.description), tower.description)


def _missing(
    media: Sequence[Medium], stores: Mapping[str, FeatureStore], preparer: Preparer, cache: Cache
) -> Iterator[tuple[Medium, str]]:
    """Yield the media without features, once for each content."""
    seen: set[tuple[str, str]] = set()
    found = fingerprints(media, preparer, cache.on_error)
    quiet = rank() != 0
    bar = tqdm(found, "Looking up", len(media), leave=False, unit="medium", disable=quiet)
    for medium, sha256 in bar:
        if sha256 not in stores[medium.kind] and (medium.kind, sha256) not in seen:
            seen.add((medium.kind, sha256))
            yield medium, sha256


def _compute(
    towers: Mapping[str, FrozenTower],
    unseen: UnseenMedia,
    stores: Mapping[str, FeatureStore],
    cache: Cache,
) -> None:
    writers = {name: _Writer(store, cache) for name, store in stores.items()}
    with contextlib.closing(_loaded(unseen, cache)) as loaded:
        for batch in _batches(loaded, towers, cache):
            kind = batch[0].kind
            for item, features in zip(batch, _encode(towers[kind], batch, cache), strict=True):
                writers[kind].add(item.sha256, features)
    for writer in writers.values():
        writer.flush()


def _loaded(unseen: UnseenMedia, cache: Cache) -> Generator[Perceived, None, None]:
    """Yield preprocessed media, which worker processes prepare in advance."""
    workers = min(cache.workers, len(unseen))
    source: Any = unseen  # torch's annotation requires its own class
    loader: DataLoader[Any] = DataLoader(
        source,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    with tqdm(None, "Encoding", len(unseen), unit="medium", disable=rank() != 0) as bar:
        for item in loader:
            bar.update()
            yield item


def _batches(
    items: Iterator[Perceived], towers: Mapping[str, FrozenTower], cache: Cache
) -> Iterator[list[Perceived]]:
    """Yield batches of items of one modality, each for one call of its tower."""
    waiting: dict[str, list[Perceived]] = {}
    positions: dict[str, int] = {}
    for item in items:
        if item.error is not None:
            _refuse(item.error, cache)
            continue
        kind = item.kind
        waiting.setdefault(kind, []).append(item)
        shape = shape_of(towers[kind].encoder, item.features)
        positions[kind] = positions.get(kind, 0) + math.prod(shape)
        if positions[kind] >= POSITIONS:
            positions[kind] = 0
            yield waiting.pop(kind)
    yield from waiting.values()


def _refuse(error: RecordError, cache: Cache) -> None:
    if cache.on_error is None:
        raise error
    cache.on_error(error)


@torch.inference_mode()
def _encode(tower: FrozenTower, batch: Sequence[Perceived], cache: Cache) -> list[Tensor]:
    """Return the features of a batch of N items: N of [*shape, D]."""
    network = tower.network.to(cache.device)
    dtype = next(network.parameters()).dtype
    shapes = [shape_of(tower.encoder, item.features) for item in batch]
    inputs = collated(tower.encoder, [item.features for item in batch])
    placed = {
        key: value.to(cache.device, dtype if value.is_floating_point() else None)
        for key, value in inputs.items()
    }
    kind = torch.device(cache.device).type
    with torch.autocast(kind, cache.autocast, enabled=cache.autocast is not None):
        features = encoded(tower.encoder, network, placed, shapes)
    return [item.to("cpu", read_dtype(cache.dtype)) for item in features]


class _Writer:
    """Collect features of one tower, and write them in shards."""

    def __init__(self, store: FeatureStore, cache: Cache) -> None:
        self._store, self._cache = store, cache
        self._waiting: dict[str, Tensor] = {}
        self._bytes = 0

    def add(self, sha256: str, features: Tensor) -> None:
        # A view would be written with the whole tensor behind it.
        self._waiting[sha256] = features.clone(memory_format=torch.contiguous_format)
        self._bytes += features.nbytes
        if self._bytes >= self._cache.shard_bytes:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        check_growth(self._cache, self._bytes)
        self._store.add(self._waiting)
        self._waiting, self._bytes = {}, 0
