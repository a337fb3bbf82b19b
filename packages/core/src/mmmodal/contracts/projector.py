"""The contract of projectors, which map a tower's features to the language model's width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.config import Config

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Projector"]


class Projector(ABC):
    """Map features [n, D_enc] to [m, D_lm]; m is known before the module runs."""

    name: ClassVar[str]
    """The name that users give: `mlp`."""

    pointwise: ClassVar[bool] = False
    """Whether every position is projected independently of all others."""

    tilewise: ClassVar[bool] = False
    """Whether every tile of a grid is projected independently; true if `pointwise` is."""

    Options: ClassVar[type[Config]] = Config
    """The schema of the options; the checkpoint stores them."""

    options: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tilewise = cls.tilewise or cls.pointwise

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def length(self, shape: tuple[int, ...]) -> int:
        """Return the number of tokens m for a feature shape, (n,) or (tiles, h, w).

        Raises:
            PartError: this projector cannot take such a shape.
        """

    def runs(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the lengths of the runs of the m tokens: one run for each tile, or a single run.

        A model with a separator puts it between the runs.

        Raises:
            PartError: this projector cannot take such a shape.
        """
        if not self.tilewise or len(shape) != 3:
            return (self.length(shape),)
        tiles, h, w = shape
        return (self.length((1, h, w)),) * tiles

    @abstractmethod
    def build(self, in_width: int, out_width: int) -> nn.Module:
        """Return the module that core calls once per step with all items of a modality.

        Pointwise: `module(features)`, [tokens, D_enc] to [tokens, D_lm].
        Otherwise: `module(features, shapes)`, [N, n_max, D_enc] zero-padded after each item, with
        one shape for each item, to [N, m_max, D_lm]; tokens after `length(shape)` are removed.
        """
