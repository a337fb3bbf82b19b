"""Recordings that a Python user passes as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MediaError
from mmmodal.modalities.arrays import is_number, numpy_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FORMS", "as_recording"]

FORMS = (
    "pass a path, bytes, a Waveform, (samples, rate in Hz), "
    "or {'array': samples, 'sampling_rate': rate in Hz}"
)
ZERO_AND_FULL = {
    "int16": (0, 2**15),
    "int32": (0, 2**31),
    "uint8": (128, 128),  # as in a WAV of 8 bits
}


def as_recording(
    value: Any, most_channels: int, origin: str
) -> tuple[NDArray[np.floating[Any]], int]:
    """Return the samples of an object, [S, channels] with a full scale of 1, and its rate in Hz.

    An object is (samples, rate), (rate, samples) as scipy returns it, or a mapping as in
    `datasets`. Samples are of numpy, torch or a list: [S], [S, channels] or [channels, S].

    Raises:
        MediaError: it has another form, or its shape or number type is ambiguous.
    """
    match value:
        case Mapping() if {"array", "sampling_rate"} <= value.keys():
            samples, rate = value["array"], value["sampling_rate"]
        case [first, second]:
            samples, rate = (second, first) if is_number(first) else (first, second)
        case _:
            has_no_rate = numpy_array(value) is not None
            start = "samples without a rate; " if has_no_rate else ""
            raise MediaError("unsupported", origin, start + FORMS)
    array = numpy_array(samples)
    if array is None:
        raise MediaError(
            "unsupported", origin, f"samples of type {type(samples).__name__}; {FORMS}"
        )
    return _floats(_columns(array, most_channels, origin), origin), _hertz(rate, origin)


def _hertz(rate: Any, origin: str) -> int:
    if not is_number(rate) or rate != rate or abs(rate) == float("inf") or rate != int(rate):
        reason = f"its rate is {rate!r}; pass a whole number of Hz"
        raise MediaError("unsupported", origin, reason)
    return int(rate)


def _columns(array: NDArray[Any], most_channels: int, origin: str) -> NDArray[Any]:
    """Return samples as [S, channels]; the shorter axis is that of the channels."""
    shape, shapes = list(array.shape), "pass [S], [S, channels] or [channels, S]"
    if array.ndim not in (1, 2):
        raise MediaError("unsupported", origin, f"its shape is {shape}; {shapes}")
    if array.ndim == 1 or not array.size:
        return array.reshape(-1, 1)
    if 1 < min(shape) <= max(shape) <= most_channels:
        reason = f"its shape is {shape}, and either axis could be that of the channels; {shapes}"
        raise MediaError("unsupported", origin, f"{reason} of more than {most_channels} samples")
    return array if shape[1] <= shape[0] else array.T


def _floats(array: NDArray[Any], origin: str) -> NDArray[np.floating[Any]]:
    import numpy as np

    if array.dtype.kind == "f":
        return array
    if array.dtype.name not in ZERO_AND_FULL:
        known = ", ".join(ZERO_AND_FULL)
        reason = f"samples of type {array.dtype}, whose full scale is unknown; pass floats with "
        raise MediaError("unsupported", origin, f"{reason}a full scale of 1, or {known}")
    zero, full = ZERO_AND_FULL[array.dtype.name]
    floats: NDArray[np.float32] = (array.astype(np.float32) - zero) / np.float32(full)
    return floats
