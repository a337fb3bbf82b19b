"""Read a medium through its modality; whatever goes wrong inside becomes one MediaError."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MediaError, MMModalError
from mmmodal.media.limits import Limits
from mmmodal.media.source import open_source

if TYPE_CHECKING:
    from mmmodal.contracts.modality import Modality

__all__ = ["decoding", "looks_like", "read_media"]

FAMILIAR = {
    rb"\s*<(!doctype|html|head)": "an HTML page, as a failed download leaves",
    rb"\s*<(\?xml|svg)": "SVG or XML",
    rb"version https://git-lfs": "a Git LFS pointer; `git lfs pull` fetches the file",
    rb"#EXTM3U": "a playlist",
    rb".{4}ftyp": "MP4, M4A, HEIC or AVIF",
    rb"\x1aE\xdf\xa3": "WebM or Matroska",
    rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\x00|MM\x00\*|RIFF.{4}WEBP": "an image",
    rb"RIFF.{4}WAVE|fLaC|OggS|ID3": "a sound",
}


def read_media(modality: Modality, value: Any, *, root: Path | None, limits: Limits) -> Any:
    """Return the media item that `value` names (a path, data URI or bytes) or is (any other).

    Raises:
        MediaError: `value` cannot be read; also where a plugin's reader fails in any other way.
    """
    package = type(modality).__module__.partition(".")[0]
    wrong = f"the reader of {modality.name!r} in {package} failed"
    todo = "check the file; MMMODAL_DEBUG=1 shows more"
    if isinstance(value, str | Path | bytes):
        source = open_source(value, root=root, limits=limits)
        with decoding(source.origin, wrong, todo):
            return modality.read(source, limits)
    with decoding(f"{modality.name} given as {type(value).__name__}", wrong, todo):
        return modality.convert(value)


@contextmanager
def decoding(origin: str, wrong: str, todo: str) -> Iterator[None]:
    """Turn any failure of a decoder into one MediaError without the decoder's words."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:
        reason = f"{wrong} ({type(error).__name__}); {todo}"
        cause = error if os.environ.get("MMMODAL_DEBUG") == "1" else None
        raise MediaError("unreadable", origin, reason) from cause


def looks_like(head: bytes) -> str:
    """Say what a file of an unexpected format seems to be, from its first bytes."""
    for pattern, words in FAMILIAR.items():
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f" (it looks like {words})"
    return ""
