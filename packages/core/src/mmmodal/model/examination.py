"""Run the parts of a modality on items, and compare what they return with their contracts.

N items, n positions, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmmodal.contracts import Encoder, Projector
from mmmodal.contracts.building import example_features
from mmmodal.contracts.encoder import collated, encoded, shape_of
from mmmodal.contracts.projector import projected
from mmmodal.errors import ContractError
from mmmodal.faults import violation

__all__ = ["examine", "examine_projection_training", "examine_training", "varied"]

CLOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""The tolerance of comparisons relative to the size of the features, by precision."""

CLOSE_IN_HALF = 0.05


def examine(
    encoder: Encoder,
    tower: nn.Module,
    projector: Projector,
    projection: nn.Module,
    width: int,
    items: Sequence[Any] = (),
) -> list[Tensor]:
    """Run tower and projector in evaluation mode on preprocessed items, together and alone.

    Args:
        encoder: the encoder.
        tower: its tower.
        projector: the projector.
        projection: its module.
        width: the width of the language model.
        items: two or more preprocessed items; by default the encoder's example, and a variation.

    Returns:
        The features of the items, [*shape, D_enc] each.

    Raises:
        ContractError: a part failed, or its features have other sizes than it says, are not finite,
            differ from call to call, or depend on the other items of the batch.
    """
    items = items or _some_items(encoder)
    with _evaluating(tower, projection):
        features = _examine_tower(encoder, tower, items)
        _examine_projection(projector, projection, features, width)
    return features


def examine_training(encoder: Encoder, tower: nn.Module, items: Sequence[Any] = ()) -> None:
    """Run a tower that will be trained on preprocessed items in training mode, without dropout.

    Raises:
        ContractError: it computes without gradients, or its features depend on the other items of
            the batch, as those of BatchNorm do.
    """

    def run(*chosen: Any) -> list[Tensor]:
        return encoded(encoder, tower, _placed(collated(encoder, chosen), tower))

    _examine_training(encoder, "tower", tower, run, items or _some_items(encoder))


def examine_projection_training(
    projector: Projector, projection: nn.Module, features: Sequence[Tensor]
) -> None:
    """Do the same with a projector's module, on features [*shape, D_enc] of items.

    Raises:
        ContractError: as for a tower.
    """

    def run(*chosen: Tensor) -> list[Tensor]:
        values, lengths = projected(projector, projection, chosen)
        return list(values.split(lengths))

    _examine_training(projector, "module", projection, run, features)


def _examine_training(
    part: Encoder | Projector,
    network: str,
    module: nn.Module,
    run: Callable[..., list[Tensor]],
    items: Sequence[Any],
) -> None:
    module.train()
    for inner in module.modules():
        if isinstance(inner, nn.modules.dropout._DropoutNd):
            inner.eval()
    with torch.random.fork_rng():
        together, again = run(*items), run(*items)
        if not any(output.requires_grad for output in together):
            contract = "pass gradients to the parameters that train"
            raise violation(part, network, "computes without gradients", contract)
        if any(map(_differ, together, again)):
            return  # it is random in training, so that nothing can be compared
        for item, output in zip(items, together, strict=True):
            if _differ(output, run(item)[0]):
                came = "depends in training on the other items of the batch (BatchNorm does)"
                raise violation(part, network, came, "treat every item by itself")


def _some_items(encoder: Encoder) -> list[Any]:
    """Return the preprocessed example of an encoder, and a variation."""
    example = example_features(encoder)
    return [example, varied(example)]


def varied(features: Any) -> Any:
    """Return preprocessed features with other values: an item of the same shape."""
    if isinstance(features, dict):
        return {key: varied(value) for key, value in features.items()}
    if not torch.is_tensor(features) or not features.is_floating_point():
        return features
    slope = torch.linspace(-0.5, 0.5, features.numel(), dtype=torch.float32).view(features.shape)
    return (0.5 * features.float() + slope).to(features.dtype)


@contextlib.contextmanager
def _evaluating(*modules: nn.Module) -> Iterator[None]:
    """Set evaluation mode, without gradients, and restore each module's mode afterwards."""
    modes = [(module, module.training) for whole in modules for module in whole.modules()]
    for whole in modules:
        whole.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _examine_tower(encoder: Encoder, tower: nn.Module, items: Sequence[Any]) -> list[Tensor]:
    def run(*chosen: Any) -> list[Tensor]:
        shapes = [shape_of(encoder, item) for item in chosen]
        return encoded(encoder, tower, _placed(collated(encoder, chosen), tower), shapes)

    together = run(*items)
    for features in together:
        _check_finite(encoder, "tower", features)
    for item, features in zip(items, together, strict=True):
        (alone,) = run(item)
        if _differ(features, alone):
            raise _unequal(encoder, "tower", _differ(alone, run(item)[0]))
    return together


def _examine_projection(
    projector: Projector, projection: nn.Module, features: Sequence[Tensor], width: int
) -> None:
    def run(*chosen: Tensor) -> list[Tensor]:
        values, lengths = projected(projector, projection, chosen, width)
        return list(values.split(lengths))

    together = run(*features)
    if projector.pointwise:
        flat = features[0].flatten(0, -2)
        if _differ(together[0][:1], projection(flat[:1])):
            contract = "project every position alone, as `pointwise` says"
            raise violation(projector, "module", "mixes the positions of an item", contract)
    for item, values in zip(features, together, strict=True):
        _check_finite(projector, "module", values)
        (alone,) = run(item)
        if _differ(values, alone):
            raise _unequal(projector, "module", _differ(alone, run(item)[0]))


def _placed(inputs: dict[str, Tensor], tower: nn.Module) -> dict[str, Tensor]:
    """Return inputs on the device of a tower, floating-point ones in its precision."""
    weight = next((p for p in tower.parameters() if p.is_floating_point()), torch.zeros(()))
    return {
        key: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
        for key, value in inputs.items()
    }


def _check_finite(part: Encoder | Projector, network: str, values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise violation(part, network, "returned NaN or infinity", "return finite values")


def _differ(one: Tensor, other: Tensor) -> bool:
    close = CLOSE.get(one.dtype, CLOSE_IN_HALF)
    distance = (one.double() - other.double()).norm()
    return bool(distance > close * other.double().norm() + 1e-6)


def _unequal(part: Encoder | Projector, network: str, noisy: bool) -> ContractError:
    if noisy:
        came = "returned different values for the same item in evaluation mode"
        return violation(part, network, came, "be deterministic there")
    came = "returned other values for an item beside others than for the item alone"
    return violation(part, network, came, "treat every item of a batch by itself, in their order")
