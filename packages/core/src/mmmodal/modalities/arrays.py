"""Arrays of numbers as users pass them: of numpy, of torch, or lists."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["is_number", "numpy_array"]


def is_number(value: Any) -> bool:
    """Return whether a value is one number, also of numpy and torch."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def numpy_array(value: Any) -> NDArray[Any] | None:
    """Return an array, a tensor on any device or a list of numbers as numpy; None for others."""
    import numpy as np

    if isinstance(value, list | tuple):
        try:
            found = np.asarray(value)
        except ValueError:  # rows of different lengths
            return None
        return found if found.dtype.kind in "biuf" else None
    if hasattr(value, "detach"):  # a tensor; torch itself need not be imported
        value = value.detach().cpu()
        # numpy has no bfloat16.
        value = value.float() if value.is_floating_point() else value
        return np.asarray(value)
    return value if isinstance(value, np.ndarray) else None
