"""The contract of encoders, which turn media items of one modality into features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mmmodal.config import Config, validate
from mmmodal.errors import PartError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig

    from mmmodal.media.limits import Limits
    from mmmodal.media.source import Source

__all__ = ["Card", "Encoder"]


@dataclass(frozen=True)
class Card:
    """Facts about a published encoder, known without its files."""

    width: int
    """The width of the features."""

    positions: int
    """The number of features for each `per`, before the projector."""

    per: str
    """The unit of `positions`: `image`, `30 s`."""

    licence: str
    """The SPDX name of its licence: `Apache-2.0`."""


class Encoder(ABC):
    """Turn items of one modality into features: preprocessing on the CPU, then a tower.

    An instance holds options and never weights, so that it is cheap in data workers. Those build it
    from its options alone: `preprocess`, `shape` and `collate` must not need `tower_config`.
    """

    name: ClassVar[str]
    """The name that users give: `siglip`."""

    modality: ClassVar[str]
    """The modality of its items: `image`."""

    default_projector: ClassVar[str] = "mlp"
    """The projector if the user names none."""

    source: ClassVar[str | None] = None
    """The source of weights (a Hub id) if the user gives none; None: there is no default."""

    card: ClassVar[Card | None] = None
    """Facts about a preset's `source`, to list them without a download; None without a preset."""

    Options: ClassVar[type[Config]] = Config
    """The schema of the options; the checkpoint stores them, together with `tower_config`."""

    options: Any

    def __init__(
        self, options: Config | None = None, tower_config: PreTrainedConfig | None = None
    ) -> None:
        self.options = options if options is not None else self.Options()
        self.tower_config = tower_config

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Return an encoder with `options` and the config of `source`, without reading weights.

        This default uses the options only; an encoder whose `source` holds a transformers config
        overrides it and passes that config as `tower_config`.
        """
        return cls(validate(cls.Options, options, f"options of encoder {cls.name!r}"))

    @property
    @abstractmethod
    def width(self) -> int:
        """The width D_enc of the features."""

    @property
    def tiled(self) -> bool:
        """Return whether an item can have several tiles; it must depend on the options alone.

        A model composed with such an encoder learns one more token, which separates tiles.
        """
        return False

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """Return the `shape` of every item if it is the same for all items; else None.

        It must depend on the options alone. Lengths are then known without reading a medium.
        """
        return None

    @abstractmethod
    def preprocess(self, item: Any) -> Any:
        """Return the tower's input for one media item: deterministic, on the CPU, without weights.

        It is one tensor [n, ...], or a dict of tensors if you override `shape` and `collate`.
        """

    def shape(self, features: Any) -> tuple[int, ...]:
        """Return the shape of the tower's output for `features`: (n,) or (tiles, h, w)."""
        return (len(features),)

    def measure(self, item: Any) -> tuple[int, ...]:
        """Return the `shape` of an item without preprocessing it; override it to be faster."""
        return self.shape(self.preprocess(item))

    def collate(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """Return the features of several items as a batch: stacked, or padded with a mask.

        `values` is [N, n, ...]; `mask` is [N, n], true at features and false at padding. The names
        are the keyword arguments of the tower. An encoder may return others, such as the
        concatenated windows of all clips with the clips' `lengths`.
        """
        import torch

        lengths = [len(features) for features in batch]
        if len(set(lengths)) == 1:
            return {"values": torch.stack(list(batch))}
        values = torch.nn.utils.rnn.pad_sequence(list(batch), batch_first=True)
        mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
        return {"values": values, "mask": mask}

    @abstractmethod
    def example(self) -> Any:
        """Return a small valid item, of the type that `Modality.read` returns."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the tower; called with `collate`'s dict, it returns N tensors [*shape, D_enc].

        `shape` is that of the method `shape`: [n, D_enc] or [tiles, h, w, D_enc]. The features of
        an item must not depend on the other items of the batch. Only core assigns weights, after
        construction; a tower without pretrained weights keeps those of its constructor.
        """

    def load(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Yield (name in the tower's state dict, tensor) for the pretrained weights at `source`.

        Raises:
            PartError: this encoder has no pretrained weights, or the format of `source` is unknown.
        """
        raise PartError(f"encoder {self.name!r} has no pretrained weights; remove {':' + source!r}")

    def limits(self, limits: Any) -> Limits:
        """Return the limits of this encoder's modality, raised if its options require it.

        `limits` is an instance of the modality's `Limits`; an encoder of long clips returns
        `limits.model_copy(update={"seconds": …})`.
        """
        return limits  # type: ignore[no-any-return]

    def recall(self, source: Source) -> Any:
        """Return the item of `source` without decoding its bytes; None: they must be decoded.

        An encoder with stored features returns them here, and its `preprocess` accepts them as an
        item.
        """
        return None

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Return the files that `load(source)` would download as (file, bytes); None if unknown."""
        return None
