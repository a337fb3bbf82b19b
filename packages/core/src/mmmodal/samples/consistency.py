"""Compare what an encoder says of one medium several times: measured, and preprocessed twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.contracts.encoder import measured, preprocessed, shape_of
from mmmodal.faults import violation

if TYPE_CHECKING:
    from mmmodal.samples.preparer import Preparer

__all__ = ["check_consistency"]


def check_consistency(
    preparer: Preparer, modality: str, value: Any, *, root: Path | None = None
) -> None:
    """Check that the encoder of a medium preprocesses it equally each time, and measures it so.

    Raises:
        ContractError: it does not.
        MediaError: the medium cannot be read.
    """
    encoder = preparer.encoders[modality]
    item = preparer.read(modality, value, root=root)
    first, second = preprocessed(encoder, item), preprocessed(encoder, item)
    shape = shape_of(encoder, first)
    if shape != shape_of(encoder, second) or not _equal(first, second):
        came = "returned other features when it was called again with the same item"
        contract = "be deterministic, and leave its item as it is"
        raise violation(encoder, "preprocess", came, contract)
    told = measured(encoder, preparer.read(modality, value, root=root))
    if told != shape:
        contract = f"return the `shape` of the preprocessed item, here {shape}"
        raise violation(encoder, "measure", f"returned {told}", contract)


def _equal(one: Any, other: Any) -> bool:
    """Return whether two results of `preprocess` are equal; those of unknown types count as so."""
    import torch

    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if torch.is_tensor(one) and torch.is_tensor(other):
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return True
