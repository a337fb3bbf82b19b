"""The limits of media that are common to all modalities; a modality adds its own.

`mmmodal.limits` holds the limits that a user sets; the options of an encoder may raise them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

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

    web: bool | tuple[str, ...] = False
    """Whether media are fetched from URLs: false, true for https from any public host, or the
    hosts, as in `[a.org, '*.b.org', 'http://10.0.0.5:8080']`."""

    @field_validator("web", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        """Return the hosts of a text of the command line, such as `a.org,b.org`."""
        if not isinstance(value, str) or value.casefold() in ("true", "false"):
            return value
        return tuple(filter(None, value.replace(" ", "").rstrip("/").split(",")))
