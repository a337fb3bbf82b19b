"""Files that end before their headers say that they do."""

from __future__ import annotations

from mmmodal.errors import MediaError

__all__ = ["CONVERT", "check_whole", "cut_off"]

CONVERT = "convert it, for example with `ffmpeg -i in.file out.flac`"


def check_whole(promised: int, found: int, slack: int, unit: str, origin: str) -> None:
    """Compare what is there with what the header promises.

    Raises:
        MediaError: more than `slack` is missing, so the file was cut off.
    """
    if promised - found > slack:
        raise cut_off(f"after {found:,} of the {promised:,} {unit} its header promises", origin)


def cut_off(where: str, origin: str) -> MediaError:
    """Return the error of a file that ends too early."""
    reason = f"the file is cut off: it ends {where}; replace it or {CONVERT}"
    return MediaError("unreadable", origin, reason)
