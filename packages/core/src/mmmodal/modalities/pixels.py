"""Pictures that a Python user passes as arrays of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmmodal.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FORMS", "as_pixels"]

FORMS = "[height, width, channels] or [channels, height, width], uint8 or floats from 0 to 1"
COLOURS = (3, 4)
SLACK = 1e-3  # beyond 0 and 1, from resizing


def as_pixels(array: NDArray[Any], origin: str) -> NDArray[np.uint8]:
    """Return an array as pixels: [height, width, 3 or 4], or grey [height, width].

    Raises:
        MediaError: its shape or number type is ambiguous, or its values are out of range.
    """
    return _bytes(_channels_last(array, origin), origin)


def _channels_last(array: NDArray[Any], origin: str) -> NDArray[Any]:
    """Return the array with its channels as the last axis; grey without channels."""
    if array.ndim == 2:
        return array
    ends = (array.shape[0], array.shape[-1]) if array.ndim == 3 else (0, 0)
    for channels in (COLOURS, (1,)):
        first, last = (end in channels for end in ends)
        if first and last:
            reason = f"its shape is {list(array.shape)}, so that its first and its last axis could "
            reason += "hold the colours; pass a Pillow image"
            raise MediaError("unsupported", origin, reason)
        if first or last:
            moved = array.transpose(1, 2, 0) if first else array
            return moved[..., 0] if moved.shape[-1] == 1 else moved
    raise MediaError("unsupported", origin, f"its shape is {list(array.shape)}; pass {FORMS}")


def _bytes(array: NDArray[Any], origin: str) -> NDArray[np.uint8]:
    import numpy as np

    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise MediaError("unsupported", origin, f"its numbers are {array.dtype}; pass {FORMS}")
    if array.size:
        low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            raise MediaError("not-finite", origin, "it holds pixels that are not finite; mend them")
        if low < -SLACK or high > 1 + SLACK:
            reason = f"its floats reach from {low:.4g} to {high:.4g}; scale them to 0 to 1"
            raise MediaError("out-of-range", origin, reason)
    scaled: NDArray[np.uint8] = np.rint(array.clip(0, 1) * 255.0).astype(np.uint8)
    return scaled
