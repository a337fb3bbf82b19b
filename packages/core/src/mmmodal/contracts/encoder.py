"""The contract of encoders, which turn media items of one modality into features."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mmmodal.config import Config, validate
from mmmodal.contracts.card import Card
from mmmodal.errors import PartError
from mmmodal.faults import cause, described, raised, violation

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig

    from mmmodal.media.limits import Limits
    from mmmodal.media.source import Source

__all__ = [
    "Encoder",
    "call_encoder",
    "collated",
    "encoded",
    "fixed_shape",
    "measured",
    "preprocessed",
    "shape_of",
]


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


# How core calls an encoder: an error inside, or a result that the contract does not allow, is one
# ContractError, which names the encoder.


def call_encoder(encoder: Encoder, method: str, *given: Any) -> Any:
    """Return the result of a method; any error inside names the encoder."""
    try:
        return getattr(encoder, method)(*given)
    except Exception as error:
        raise raised(encoder, method, error) from cause(error)


def preprocessed(encoder: Encoder, item: Any) -> Any:
    """Return `encoder.preprocess(item)`, checked.

    Raises:
        ContractError: it failed, or returned nothing.
    """
    features = call_encoder(encoder, "preprocess", item)
    if features is None:
        raise violation(encoder, "preprocess", "returned None", "return the tower's input")
    return features


def shape_of(encoder: Encoder, features: Any) -> tuple[int, ...]:
    """Return `encoder.shape(features)`, checked.

    Raises:
        ContractError: it failed, returned no shape, or another one than `fixed_shape`.
    """
    shape = _checked_shape(encoder, "shape", call_encoder(encoder, "shape", features))
    fixed = fixed_shape(encoder)
    if fixed not in (None, shape):
        came, contract = f"is {fixed}", f"be None where an item has another shape, as here {shape}"
        raise violation(encoder, "fixed_shape", came, contract)
    return shape


def measured(encoder: Encoder, item: Any) -> tuple[int, ...]:
    """Return `encoder.measure(item)`, checked.

    Raises:
        ContractError: it failed, or returned no shape.
    """
    return _checked_shape(encoder, "measure", call_encoder(encoder, "measure", item))


def fixed_shape(encoder: Encoder) -> tuple[int, ...] | None:
    """Return `encoder.fixed_shape`, checked.

    Raises:
        ContractError: it failed, or is neither None nor a shape.
    """
    try:
        shape = encoder.fixed_shape
    except Exception as error:
        raise raised(encoder, "fixed_shape", error) from cause(error)
    return None if shape is None else _checked_shape(encoder, "fixed_shape", shape)


def collated(encoder: Encoder, batch: Sequence[Any]) -> dict[str, Tensor]:
    """Return `encoder.collate(batch)`, checked.

    Raises:
        ContractError: it failed, or returned something else than tensors by name.
    """
    import torch

    tensors = call_encoder(encoder, "collate", batch)
    if isinstance(tensors, Mapping) and tensors and all(map(torch.is_tensor, tensors.values())):
        return dict(tensors)
    kinds = isinstance(tensors, Mapping) and {k: type(v).__name__ for k, v in tensors.items()}
    came = f"returned {kinds or described(tensors)}"
    raise violation(encoder, "collate", came, "return a dict of tensors by the tower's arguments")


def encoded(
    encoder: Encoder,
    tower: nn.Module,
    inputs: Mapping[str, Tensor],
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> list[Tensor]:
    """Return the features of N items, [*shape, D_enc] each, from one call of the tower, checked.

    `shapes` are those that `shape` returned, if they are known. Values are not looked at, as the
    device would have to be waited for.

    Raises:
        ContractError: the tower failed, or returned something else than its contract says.
    """
    import torch

    try:
        output = tower(**inputs)
    except Exception as error:
        raise raised(encoder, "tower", error) from cause(error)
    # A tensor [N, n, D_enc] is a list of equal items.
    if not (isinstance(output, list | tuple) or (torch.is_tensor(output) and output.dim() > 2)):
        came = f"returned {described(output)}"
        raise violation(encoder, "tower", came, "return a list of tensors, one for each item")
    features = list(output)
    if shapes is not None and len(features) != len(shapes):
        came = f"returned {len(features)} tensors for {len(shapes)} items"
        raise violation(encoder, "tower", came, "return one tensor for each item")
    precisions = {value.dtype for value in inputs.values() if value.is_floating_point()}
    for number, item in enumerate(features):
        _check_item(encoder, item, None if shapes is None else shapes[number], precisions)
    return features


def _check_item(
    encoder: Encoder, item: Any, shape: tuple[int, ...] | None, precisions: set[Any]
) -> None:
    """Raise a ContractError unless `item` can be the features of one item, [*shape, D_enc]."""
    import torch

    width = encoder.width
    wanted = f"[*shape, {width}] with a shape (n,) or (tiles, h, w)"
    is_good = torch.is_tensor(item) and item.dim() in (2, 4) and item.shape[-1] == width
    if is_good and shape is not None:
        wanted = f"{[*shape, width]}, as `shape` and `width` say"
        is_good = tuple(item.shape[:-1]) == shape
    if not is_good:
        raise violation(encoder, "tower", f"returned {described(item)}", f"return {wanted}")
    if not precisions or torch.is_autocast_enabled(item.device.type):
        precisions = {*precisions, torch.float32, torch.float16, torch.bfloat16}
    if item.dtype not in precisions:
        came = f"returned {described(item)}"
        raise violation(encoder, "tower", came, "return the precision of its inputs and weights")


def _checked_shape(encoder: Encoder, method: str, shape: Any) -> tuple[int, ...]:
    if (
        isinstance(shape, tuple | list)
        and len(shape) in (1, 3)
        and all(isinstance(size, int) for size in shape)
        and math.prod(shape) >= 1
    ):
        return tuple(shape)
    word = "is" if method == "fixed_shape" else "returned"
    came = f"{word} {described(shape)}"
    raise violation(encoder, method, came, "be a shape (n,) or (tiles, h, w) of positive numbers")
