"""Map the tensors of a model to those of a checkpoint; none may be missing or left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmmodal.contracts.converter import Conversion, Prefixes
from mmmodal.converting.weights import Weights
from mmmodal.errors import PartError

__all__ = ["match_names"]

BUFFERS = ("rotary_emb.inv_freq",)
"""Tensors of old checkpoints that are no longer used."""


def match_names(
    wanted: Iterable[str], conversion: Conversion, weights: Weights, tied: bool
) -> dict[str, str]:
    """Return the name of the checkpoint's tensor for each tensor of the model.

    Args:
        wanted: the names of the model's tensors, without a tied head.
        conversion: the description of the checkpoint.
        weights: its tensors.
        tied: whether the head is the embedding matrix.

    Raises:
        PartError: a part is missing or incomplete, or has tensors that its config does not
            require.
    """
    names = list(wanted)
    found: dict[str, str] = {}
    for part, (target, prefixes, whole) in _parts(conversion).items():
        own = [name.removeprefix(target) for name in names if name.startswith(target)]
        prefix = max(prefixes, key=lambda p: sum(p + name in weights.files for name in own))
        if own:
            _check(part, own, prefixes, prefix, weights)
        if whole and not (tied and part == "head"):
            _check_nothing_else(part, own, prefix, weights)
        found |= {target + name: prefix + name for name in own}
    return found


def _parts(conversion: Conversion) -> Mapping[str, tuple[str, Prefixes, bool]]:
    """Return for each part its prefix in the model, those in the checkpoint, and whether all of its
    tensors are used."""
    parts: dict[str, tuple[str, Prefixes, bool]] = {
        "language model": ("model.language_model.", conversion.language_model, True),
        "head": ("lm_head.", conversion.head, True),
    }
    for modality in conversion.modalities:
        name = modality.addition.modality.name
        # Encoders are published whole, but the tower may use only a part.
        parts[f"{name} encoder"] = (f"model.{name}_tower.", modality.tower, False)
        parts[f"{name} projector"] = (f"model.{name}_projector.", modality.projector, True)
    return parts


def _check(part: str, own: list[str], prefixes: Prefixes, prefix: str, weights: Weights) -> None:
    missing = [name for name in own if prefix + name not in weights.files]
    if len(missing) == len(own):
        begins = " or ".join(map(repr, prefixes))
        raise PartError(
            f"{weights.source}: the {part} is missing: no name of a tensor begins with {begins}"
        )
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise PartError(f"{weights.source}: the {part} lacks {prefix + missing[0]!r}{more}")


def _check_nothing_else(part: str, own: list[str], prefix: str, weights: Weights) -> None:
    known = {prefix + name for name in own}
    others = sorted(
        name
        for name in weights.files
        if name.startswith(prefix) and name not in known and not name.endswith(BUFFERS)
    )
    if others:
        raise PartError(
            f"{weights.source}: the {part} has {others[0]!r} and {len(others) - 1} others, which "
            "its config does not require"
        )
