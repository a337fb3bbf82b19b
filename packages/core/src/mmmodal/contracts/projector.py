"""What maps a tower's features to the language model's width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.config import Config

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Projector"]


class Projector(ABC):
    """How features [n, D_enc] become [m, D_lm], with m known before it runs."""

    name: ClassVar[str]
    """The key users name it by: `mlp`."""

    pointwise: ClassVar[bool] = False
    """True when every position is projected on its own, whatever item it belongs to."""

    tilewise: ClassVar[bool] = False
    """True when every tile of a grid is projected on its own; what is pointwise always is."""

    Options: ClassVar[type[Config]] = Config
    """What can be set; stored in the checkpoint."""

    options: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tilewise = cls.tilewise or cls.pointwise

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def length(self, shape: tuple[int, ...]) -> int:
        """Tell the number of tokens m for a feature shape, (n,) or (tiles, h, w).

        Raises:
            PartError: this projector cannot take such a shape.
        """

    def runs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tell which of the m tokens stand together: those of a tile, or all of them.

        Separators are put between the runs, where the model has them.

        Raises:
            PartError: this projector cannot take such a shape.
        """
        if not self.tilewise or len(shape) != 3:
            return (self.length(shape),)
        tiles, h, w = shape
        return (self.length((1, h, w)),) * tiles

    @abstractmethod
    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Build the module that core calls once per step over all items of a modality.

        Pointwise: `module(features)`, [tokens, D_enc] to [tokens, D_lm].
        Otherwise: `module(features, shapes)`, [N, n_max, D_enc] zero-padded behind each item, with
        one shape an item, to [N, m_max, D_lm]; what lies behind `length(shape)` is cut off.
        """
