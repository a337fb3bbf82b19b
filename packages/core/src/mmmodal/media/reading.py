"""Read a medium through its modality; any error inside becomes one MediaError."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mmmodal.errors import MediaError, MMModalError
from mmmodal.faults import cause, provider, violation
from mmmodal.media.limits import Limits
from mmmodal.media.source import Address, Source, find_source

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
    """A decoder of bytes to a media item: a modality."""

    @property
    def name(self) -> str:
        """Its name in errors."""

    @property
    def Limits(self) -> type[Limits]:
        """The limits of its items, with their defaults."""

    def read(self, source: Source, limits: Any) -> Any:
        """Return the decoded item of a source."""

    def convert(self, value: Any) -> Any:
        """Return an object as a media item."""

    def complete(self, value: Any, example: Callable[[], Any]) -> Any:
        """Return an object with what it lacks, taken from an example item."""


def read_media(
    modality: Reader,
    value: Any,
    *,
    root: Path | None,
    limits: Limits | None = None,
    known: Callable[[Source], Any] = lambda source: None,
    example: Callable[[], Any] | None = None,
) -> Any:
    """Return the media item of `value`: a path, data URI or bytes, or an object as the item itself.

    A file is opened once.

    Args:
        modality: the modality, which decodes the item.
        value: the medium.
        root: the folder of relative paths, outside of which no path may be; None: any path.
        limits: limits of the modality or general ones; by default the modality's defaults.
        known: a function that is called first; an item that it returns is used instead of
            decoding, None is not.
        example: a function that returns an item of the encoder, from which an object takes what it
            lacks.

    Raises:
        MediaError: `value` cannot be read, or the reader of a plugin fails with any error.
        ContractError: the modality returned no item.
    """
    if not isinstance(limits, modality.Limits):
        limits = modality.Limits(**(limits.model_dump(exclude_unset=True) if limits else {}))
    if isinstance(value, Address):
        with find_source(value, root=root, limits=limits).held(limits) as source:
            if (item := known(source)) is not None:
                return item
            with _reading(modality, source.origin):
                return _item(modality, "read", modality.read(source, limits))
    with _reading(modality, f"{modality.name} given as {type(value).__name__}"):
        whole = modality.complete(value, example) if example else value
        return _item(modality, "convert", modality.convert(whole))


@contextmanager
def _reading(modality: Reader, origin: str) -> Iterator[None]:
    """Raise any error of a modality as one MediaError that names its package."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:
        wrong = f"the reader of {modality.name!r} in {provider(modality)} failed"
        todo = "check the file; MMMODAL_DEBUG=1 shows more"
        raise _unreadable(origin, wrong, todo, error) from cause(error)


def _item(modality: Reader, method: str, item: Any) -> Any:
    """Return an item; a modality that returned none is named."""
    if item is None:
        raise violation(modality, method, "returned None", "return the media item, or raise")
    return item


@contextmanager
def decoding(origin: str, wrong: str, todo: str) -> Iterator[None]:
    """Raise any error of a decoder as one MediaError, without the decoder's message."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:
        raise _unreadable(origin, wrong, todo, error) from cause(error)


def _unreadable(origin: str, wrong: str, todo: str, error: Exception) -> MediaError:
    return MediaError("unreadable", origin, f"{wrong} ({type(error).__name__}); {todo}")


def looks_like(head: bytes) -> str:
    """Return the apparent format of a file by its first bytes, as text for an error; else empty."""
    for pattern, words in FAMILIAR.items():
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f" (it looks like {words})"
    return ""
