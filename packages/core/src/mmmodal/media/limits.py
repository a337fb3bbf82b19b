"""The limits of media that are common to all modalities; a modality adds its own.

`mmmodal.limits` holds the limits that a user sets; the options of an encoder may raise them.
"""

from __future__ import annotations

from pydantic import Field

from mmmodal.config import Config

__all__ = ["Limits"]

MIB = 1024 * 1024


class Limits(Config):
    """Limits that are checked before a medium is decoded."""

    file_bytes: int = Field(512 * MIB, gt=0)
    """The maximum size of a local file."""

    inline_bytes: int = Field(32 * MIB, gt=0)
    """The maximum size of bytes in a request or a data URI."""

    decoded_bytes: int = Field(256 * MIB, gt=0)
    """The maximum memory of a decoded item."""
