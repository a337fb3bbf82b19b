"""The contract of projectors, which map a tower's features to the language model's width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.config import Config
from mmmodal.faults import cause, described, raised, violation

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Projector", "call_projector", "length_of", "projected", "runs_of"]


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


# How core calls a projector: an error inside, or a result that the contract does not allow, is one
# ContractError, which names the projector.


def call_projector(projector: Projector, method: str, *given: Any) -> Any:
    """Return the result of a method; any error inside names the projector."""
    try:
        return getattr(projector, method)(*given)
    except Exception as error:
        raise raised(projector, method, error) from cause(error)


def length_of(projector: Projector, shape: tuple[int, ...]) -> int:
    """Return `projector.length(shape)`, checked.

    Raises:
        PartError: the projector cannot take such a shape.
        ContractError: it failed, or returned no positive number.
    """
    length = call_projector(projector, "length", shape)
    if not isinstance(length, int) or length < 1:
        came = f"returned {described(length)} for {shape}"
        raise violation(projector, "length", came, "return a positive number of tokens")
    return length


def runs_of(projector: Projector, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `projector.runs(shape)`, checked.

    Raises:
        PartError: the projector cannot take such a shape.
        ContractError: it failed, or its runs do not add up to the length.
    """
    length, runs = length_of(projector, shape), call_projector(projector, "runs", shape)
    is_good = isinstance(runs, tuple | list) and all(isinstance(run, int) for run in runs)
    if not is_good or sum(runs) != length:
        came = f"returned {described(runs)} for {shape}"
        raise violation(projector, "runs", came, f"add up to the length, {length}")
    return tuple(runs)


def projected(
    projector: Projector, module: nn.Module, features: Sequence[Tensor], width: int | None = None
) -> tuple[Tensor, list[int]]:
    """Project N items [*shape, D_enc] in one call of the module, checked.

    Args:
        projector: the projector of the module.
        module: the network.
        features: the features of the items.
        width: D_lm, if it is known.

    Returns:
        The tokens of all items, [M, D_lm], and the number of each item's.

    Raises:
        PartError: the projector cannot take such shapes.
        ContractError: the module failed, or returned something else than its contract says.
    """
    import torch
    from torch import nn

    shapes = [tuple(item.shape[:-1]) for item in features]
    lengths = [length_of(projector, shape) for shape in shapes]
    flat = [item.flatten(0, -2) for item in features]  # N of [n, D_enc]
    given: tuple[Any, ...]
    if projector.pointwise:
        given, wanted = (torch.cat(flat),), [sum(map(len, flat))]
    else:
        padded = nn.utils.rnn.pad_sequence(flat, batch_first=True)  # [N, n_max, D_enc]
        given, wanted = (padded, shapes), [len(flat), max(lengths)]
    try:
        output = module(*given)
    except Exception as error:
        raise raised(projector, "module", error) from cause(error)
    _check_output(projector, output, [*wanted, width or "D_lm"])
    if projector.pointwise:
        if sum(lengths) != len(output):
            came = f"returned {lengths} for {shapes}"
            raise violation(projector, "length", came, "return n, as the projector is `pointwise`")
        return output, lengths
    kept = [item[:length] for item, length in zip(output, lengths, strict=True)]
    return torch.cat(kept), lengths


def _check_output(projector: Projector, output: Any, wanted: list[Any]) -> None:
    """Raise a ContractError unless `output` is of floats, of the wanted sizes; a text is any."""
    import torch

    sizes = list(output.shape) if torch.is_tensor(output) else []
    fits = len(sizes) == len(wanted) and all(
        isinstance(want, str) or size == want for size, want in zip(sizes, wanted, strict=True)
    )
    if not fits or output.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        came, shown = f"returned {described(output)}", ", ".join(map(str, wanted))
        raise violation(projector, "module", came, f"return floats [{shown}], as `length` says")
