"""WAV files of samples in memory, so that decoded sound takes the road of all bytes."""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["wave_file"]

FLOAT = 3
"""The number of the format of 32-bit floating-point samples."""


def wave_file(samples: Any, rate: int) -> bytes:
    """Return a WAV file of 32-bit floating-point samples: [n], or [channels, n] or [n, channels].

    Raises:
        ValueError: the samples are no array of one or two dimensions, or the rate is no number.
    """
    import numpy as np

    array = np.asarray(samples, dtype="<f4")
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.ndim not in (1, 2) or not array.size or rate <= 0:
        raise ValueError("samples must be one or two lists of numbers, with their rate")
    channels = 1 if array.ndim == 1 else array.shape[1]
    data = np.ascontiguousarray(array).tobytes()
    form = struct.pack("<HHIIHH", FLOAT, channels, rate, rate * channels * 4, channels * 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    body += struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
