"""How large a medium may be; one set of limits for training, chat and server.

An encoder's options may allow a model more: `MMModalProcessor.limits`.
"""

from __future__ import annotations

from mmmodal.config import Config

__all__ = ["Limits"]

MIB = 1024 * 1024


class Limits(Config):
    """Limits that are checked before anything is decoded."""

    file_bytes: int = 512 * MIB
    """A local file's size."""

    inline_bytes: int = 32 * MIB
    """The size of bytes that came with a request or a data URI."""

    decoded_bytes: int = 256 * MIB
    """The memory a decoded item may take."""

    image_pixels: int = 50_000_000
    image_side: int = 16_384  # pixels
    audio_seconds: float = 600.0
    audio_channels: int = 8
