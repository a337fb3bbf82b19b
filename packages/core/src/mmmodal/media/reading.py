"""Read a medium through its modality; whatever goes wrong inside becomes one MediaError."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mmmodal.errors import MediaError, MMModalError, is_debugging
from mmmodal.media.limits import Limits
from mmmodal.media.source import Source, find_source

__all__ = ["Reader", "decoding", "looks_like", "read_media"]

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


class Reader(Protocol):
    """What turns bytes into a media item: a modality."""

    @property
    def name(self) -> str:
        """The word for it in errors."""

    @property
    def Limits(self) -> type[Limits]:
        """The limits of its items, with their defaults."""

    def read(self, source: Source, limits: Any) -> Any:
        """Decode one media item."""

    def convert(self, value: Any) -> Any:
        """Turn an object into what `read` returns."""


def read_media(
    modality: Reader,
    value: Any,
    *,
    root: Path | None,
    limits: Limits | None = None,
    known: Callable[[Source], Any] = lambda source: None,
) -> Any:
    """Return the media item that `value` names (a path, data URI or bytes) or is (any other).

    A file is opened once.

    Args:
        modality: what decodes it.
        value: the medium.
        root: where a relative path begins, which no path may leave; None: anywhere.
        limits: the modality's own, or general ones; by default its own defaults.
        known: is asked first; what it returns is taken in place of what would be decoded, unless
            that is None.

    Raises:
        MediaError: `value` cannot be read; also where a plugin's reader fails in any other way.
    """
    if not isinstance(limits, modality.Limits):
        limits = modality.Limits(**(limits.model_dump(exclude_unset=True) if limits else {}))
    package = type(modality).__module__.partition(".")[0]
    wrong = f"the reader of {modality.name!r} in {package} failed"
    todo = "check the file; MMMODAL_DEBUG=1 shows more"
    if isinstance(value, str | Path | bytes):
        with find_source(value, root=root, limits=limits).held(limits) as source:
            if (item := known(source)) is not None:
                return item
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
        cause = error if is_debugging() else None
        raise MediaError("unreadable", origin, reason) from cause


def looks_like(head: bytes) -> str:
    """Say what a file of an unexpected format seems to be, from its first bytes."""
    for pattern, words in FAMILIAR.items():
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f" (it looks like {words})"
    return ""
