"""An encoder and a tower that return stored features, with the contract of the original ones.

N items, n positions of all of them, r dimensions of a shape, D width of the tower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from mmmodal.contracts import Encoder
from mmmodal.contracts.building import example_features
from mmmodal.contracts.encoder import shape_of
from mmmodal.errors import MediaError

if TYPE_CHECKING:
    from mmmodal.media.source import Source
    from mmmodal.samples.feature_cache.store import FeatureStore

__all__ = ["StoredEncoder", "StoredTower", "join_stored"]


class StoredEncoder(Encoder):
    """A replacement of an encoder whose features are stored; an item is its features."""

    name: ClassVar[str] = "stored"

    def __init__(self, encoder: Encoder, store: FeatureStore, width: int) -> None:
        super().__init__(encoder.options, encoder.tower_config)
        self._encoder, self._store, self._width = encoder, store, width

    @property
    def width(self) -> int:
        """The width of the original tower."""
        return self._width

    @property
    def tiled(self) -> bool:
        """Return the value of the original encoder."""
        return self._encoder.tiled

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """Return the value of the original encoder."""
        return self._encoder.fixed_shape

    def recall(self, source: Source) -> Tensor:
        """Return the stored features of a medium's bytes.

        Raises:
            MediaError: there are none.
        """
        try:
            return self._store.read(source.sha256())
        except KeyError:
            raise MediaError(
                "changed",
                source.origin,
                "its features are not in the feature cache, which was filled when training began: "
                "the file has changed, or the folder `feature_cache` is not shared by all "
                "machines; start again",
            ) from None

    def preprocess(self, item: Any) -> Tensor:
        """Return the item, as it is the features."""
        features: Tensor = item
        return features

    def shape(self, features: Tensor) -> tuple[int, ...]:
        """Return the shape without the width."""
        return tuple(features.shape[:-1])

    def collate(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the features of all items, joined, with their shapes."""
        return join_stored(batch)

    def example(self) -> Tensor:
        """Return zeros in the shape of the original encoder's example."""
        shape = shape_of(self._encoder, example_features(self._encoder))
        return torch.zeros(*shape, self.width)

    def build(self) -> nn.Module:
        """Return the tower, which splits joined features."""
        return StoredTower()


def join_stored(batch: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the features of all items, concatenated to [n, D], with their shapes, [N, r].

    Shapes with fewer dimensions are padded with zeros in front.
    """
    shapes = [tuple(features.shape[:-1]) for features in batch]
    most = max(map(len, shapes))
    filled = [(0,) * (most - len(shape)) + shape for shape in shapes]
    flat = [features.flatten(0, -2) for features in batch]
    return {"encoded": torch.cat(flat), "shapes": torch.tensor(filled)}


class StoredTower(nn.Module):
    """Split joined features into items."""

    def forward(self, encoded: Tensor, shapes: Tensor) -> list[Tensor]:
        """Return the N items of `encoded` [n, D], each as [*shape, D]."""
        cut = list(_cut(shapes))
        lengths = [torch.Size(shape).numel() for shape in cut]
        return [
            item.unflatten(0, shape)
            for item, shape in zip(encoded.split(lengths), cut, strict=True)
        ]


def _cut(shapes: Tensor) -> Iterator[tuple[int, ...]]:
    for row in shapes.tolist():
        yield tuple(size for size in row if size)
