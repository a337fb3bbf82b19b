"""Errors for files that are shorter than their headers state."""

from __future__ import annotations

from mmmodal.errors import MediaError

__all__ = ["CONVERT", "check_whole", "cut_off"]

CONVERT = "convert it, for example with `ffmpeg -i in.file out.flac`"


def check_whole(promised: int, found: int, slack: int, unit: str, origin: str) -> None:
    """Compare the length of a file with the length in its header.

    Raises:
        MediaError: more than `slack` is missing, so the file was cut off.
    """
    if promised - found > slack:
        raise cut_off(f"after {found:,} of the {promised:,} {unit} in its header", origin)


def cut_off(where: str, origin: str) -> MediaError:
    """Return the error of a file that ends too early."""
    reason = f"the file is cut off: it ends {where}; replace it or {CONVERT}"
    return MediaError("unreadable", origin, reason)
