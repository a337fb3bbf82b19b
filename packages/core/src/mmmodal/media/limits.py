"""How large a medium may be: the limits of every modality. A modality adds its own to them.

`mmmodal.limits` holds what a user sets; an encoder's options may allow a model more.
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
