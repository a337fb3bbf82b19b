"""An encoder and a tower that return stored features: the same contract, nothing to compute.

N items, n positions of all of them, r dimensions of a shape, D width of the tower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from mmmodal.contracts import Encoder
from mmmodal.errors import MediaError

if TYPE_CHECKING:
    from mmmodal.media.source import Source
    from mmmodal.samples.feature_cache.store import FeatureStore

__all__ = ["StoredEncoder", "StoredTower", "join_stored"]


class StoredEncoder(Encoder):
    """What stands in for an encoder whose features are stored; an item is its features."""

    name: ClassVar[str] = "stored"

    def __init__(self, encoder: Encoder, store: FeatureStore, width: int) -> None:
        super().__init__(encoder.options, encoder.tower_config)
        self._encoder, self._store, self._width = encoder, store, width

    @property
    def width(self) -> int:
        """The width of the tower that made them."""
        return self._width

    @property
    def tiled(self) -> bool:
        """Say what the encoder says."""
        return self._encoder.tiled

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """Tell what the encoder tells."""
        return self._encoder.fixed_shape

    def recall(self, source: Source) -> Tensor:
        """Return the features of the medium that has these very bytes.

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
                "it changed since, or `feature_cache` is no folder that all machines share; start "
                "again",
            ) from None

    def preprocess(self, item: Any) -> Tensor:
        """Return the features themselves."""
        features: Tensor = item
        return features

    def shape(self, features: Tensor) -> tuple[int, ...]:
        """Tell the shape without the width."""
        return tuple(features.shape[:-1])

    def collate(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Join the features of all items with their shapes."""
        return join_stored(batch)

    def example(self) -> Tensor:
        """Return zeros of the shape that the encoder's example has."""
        shape = self._encoder.shape(self._encoder.preprocess(self._encoder.example()))
        return torch.zeros(*shape, self.width)

    def build(self) -> nn.Module:
        """Build the tower that gives them back."""
        return StoredTower()


def join_stored(batch: Sequence[Tensor]) -> dict[str, Tensor]:
    """Join the features of all items, [n, D], with their shapes, [N, r].

    Shapes of fewer dimensions than others have zeros before them.
    """
    shapes = [tuple(features.shape[:-1]) for features in batch]
    most = max(map(len, shapes))
    filled = [(0,) * (most - len(shape)) + shape for shape in shapes]
    flat = [features.flatten(0, -2) for features in batch]
    return {"encoded": torch.cat(flat), "shapes": torch.tensor(filled)}


class StoredTower(nn.Module):
    """Cut joined features into items again."""

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
