"""How large a medium may be; one set of limits for training, chat and server.

An encoder's options may allow a model more: `MMModalProcessor.limits`.
"""

from __future__ import annotations

from pydantic import Field

from mmmodal.config import Config

__all__ = ["Limits"]

MIB = 1024 * 1024


class Limits(Config):
    """Limits that are checked before anything is decoded."""

    file_bytes: int = Field(512 * MIB, gt=0)
    """A local file's size."""

    inline_bytes: int = Field(32 * MIB, gt=0)
    """The size of bytes that came with a request or a data URI."""

    decoded_bytes: int = Field(256 * MIB, gt=0)
    """The memory a decoded item may take."""

    image_pixels: int = Field(50_000_000, gt=0)
    image_side: int = Field(16_384, gt=0)
    """The longer side of an image, in pixels."""

    audio_seconds: float = Field(600.0, gt=0)
    audio_channels: int = Field(8, gt=0)
