"""Build the networks of parts, read their weights, and make their examples, each checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmmodal.contracts.encoder import Encoder, call_encoder, preprocessed
from mmmodal.contracts.projector import Projector, call_projector
from mmmodal.faults import cause, described, raised, violation

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["build_projection", "build_tower", "example_features", "pretrained"]


def example_features(encoder: Encoder) -> Any:
    """Return the preprocessed features of `encoder.example()`.

    Raises:
        ContractError: a method failed.
    """
    return preprocessed(encoder, call_encoder(encoder, "example"))


def build_tower(encoder: Encoder) -> nn.Module:
    """Return `encoder.build()`, checked.

    Raises:
        ContractError: it failed, or returned no module, or the encoder has no width.
    """
    from torch import nn

    try:
        width = encoder.width
    except Exception as error:
        raise raised(encoder, "width", error) from cause(error)
    if not isinstance(width, int) or width < 1:
        raise violation(encoder, "width", f"is {described(width)}", "be a positive number")
    tower = call_encoder(encoder, "build")
    if not isinstance(tower, nn.Module):
        came = f"returned {described(tower)}"
        raise violation(encoder, "build", came, "return the tower, an nn.Module")
    return tower


def build_projection(projector: Projector, in_width: int, out_width: int) -> nn.Module:
    """Return `projector.build(in_width, out_width)`, checked.

    Raises:
        ContractError: it failed, or returned no module.
    """
    from torch import nn

    module = call_projector(projector, "build", in_width, out_width)
    if not isinstance(module, nn.Module):
        raise violation(projector, "build", f"returned {described(module)}", "return an nn.Module")
    return module


def pretrained(encoder: Encoder, source: str) -> dict[str, Tensor]:
    """Return the tensors of `encoder.load(source)` by name.

    Raises:
        PartError: the format of `source` is unknown.
        ContractError: it failed, or did not yield names with tensors.
    """
    import torch

    try:
        pairs = list(encoder.load(source))
        tensors = dict(pairs)
    except Exception as error:
        raise raised(encoder, "load", error) from cause(error)
    for name, tensor in pairs:
        if not isinstance(name, str) or not torch.is_tensor(tensor):
            came = f"yielded ({described(name)}, {described(tensor)})"
            raise violation(encoder, "load", came, "yield (name, tensor) pairs")
    return tensors
