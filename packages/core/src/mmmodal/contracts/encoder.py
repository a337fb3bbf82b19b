"""A swappable way to turn a media item of one modality into features."""

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
    """What a published encoder is, known without its files."""

    width: int
    """The width of its features."""

    positions: int
    """Features for each `per`, before the projector."""

    per: str
    """What `positions` is counted for: `image`, `30 s`."""

    licence: str
    """The SPDX name of its licence: `Apache-2.0`."""


class Encoder(ABC):
    """How items of one modality become features: preprocessing on the CPU, then a tower.

    An instance holds options only; it never holds weights, so it is cheap in data workers. There
    it is built from its options alone: `preprocess`, `shape` and `collate` must not need
    `tower_config`.
    """

    name: ClassVar[str]
    """The key users name it by: `siglip`."""

    modality: ClassVar[str]
    """The modality whose items it takes: `image`."""

    default_projector: ClassVar[str] = "mlp"
    """The projector used when the user names none."""

    source: ClassVar[str | None] = None
    """Where weights come from when the user gives no source (a Hub id); None: no default."""

    card: ClassVar[Card | None] = None
    """What a preset's `source` holds, so that it can be listed without a download; else None."""

    Options: ClassVar[type[Config]] = Config
    """What can be set; stored in the checkpoint, together with `tower_config`."""

    options: Any

    def __init__(
        self, options: Config | None = None, tower_config: PreTrainedConfig | None = None
    ) -> None:
        self.options = options if options is not None else self.Options()
        self.tower_config = tower_config

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Build from what `source` says of itself (its config, never its weights) and `options`.

        The default takes options alone; an encoder whose `source` holds a transformers config
        overrides this and passes that config on as `tower_config`.
        """
        return cls(validate(cls.Options, options, f"options of encoder {cls.name!r}"))

    @property
    @abstractmethod
    def width(self) -> int:
        """The width D_enc of the features."""

    @property
    def tiled(self) -> bool:
        """Say whether an item can have several tiles, which depends on the options alone.

        A model composed with such an encoder learns one more token, which separates them.
        """
        return False

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """Tell the `shape` that every item has, where it is the same for all; else None.

        It depends on the options alone. Lengths are then known without reading any medium.
        """
        return None

    @abstractmethod
    def preprocess(self, item: Any) -> Any:
        """Turn one media item into features for the tower: deterministic, on the CPU, no weights.

        Return one tensor [n, ...], or a dict of tensors if you override `shape` and `collate`.
        """

    def shape(self, features: Any) -> tuple[int, ...]:
        """Tell the shape of what the tower will return for `features`: (n,) or (tiles, h, w)."""
        return (len(features),)

    def measure(self, item: Any) -> tuple[int, ...]:
        """Tell the `shape` of an item that was not preprocessed; override it to be quicker."""
        return self.shape(self.preprocess(item))

    def collate(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """Join the features of several items: stacked, or padded with a mask where lengths differ.

        `values` is [N, n, ...]; `mask` is [N, n], true where real. The names are the keyword
        arguments of the tower. An encoder may return others, such as the windows of all clips
        behind one another with the clips' `lengths`.
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
        """Return a small valid item, as `Modality.read` would."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the tower: called with `collate`'s dict, returns N tensors [*shape, D_enc].

        `shape` is what the method of that name tells: [n, D_enc] or [tiles, h, w, D_enc].
        An item's features must not depend on its neighbours in the batch. Only core assigns
        weights, after construction; what the constructor initialises is kept otherwise.
        """

    def load(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Yield (name in the tower's state dict, tensor) for the pretrained weights at `source`.

        Raises:
            PartError: this encoder has no pretrained weights, or `source` is of no known format.
        """
        raise PartError(
            f"encoder {self.name!r} has no pretrained weights; name it without {':' + source!r}"
        )

    def limits(self, limits: Any) -> Limits:
        """Return the limits of this encoder's modality, wider where the options ask for it.

        `limits` is an instance of the modality's `Limits`; an encoder of long clips returns
        `limits.model_copy(update={"seconds": …})`.
        """
        return limits  # type: ignore[no-any-return]

    def recall(self, source: Source) -> Any:
        """Return the item of the very bytes of `source` without decoding them; None: decode them.

        An encoder whose features are stored returns them here, and its `preprocess` takes them as
        an item.
        """
        return None

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Say what `load(source)` would download as (file, bytes); None where that is not known."""
        return None
