"""Paths and URIs of media, or media themselves, as rows hold them under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import InstanceOf

from mmmodal.media.containers.wave import wave_file
from mmmodal.media.source import InMemory, Source
from mmmodal.records.naming import is_blank

__all__ = ["Medium", "address", "addresses", "shown"]

PLACES = ("path", "url", "uri")


Medium = str | InstanceOf[Source]
"""A path or URI, or the source of a medium that the row holds."""


def addresses(value: Any, kind: str) -> tuple[Medium, ...]:
    """Return the address of each medium of a value: one, or a list of them.

    Args:
        value: texts, or structs such as `{"path": …}`, also with `bytes` that are null; null, an
            empty text or an empty struct alone is none.
        kind: the media in words, for errors: `image`.

    Raises:
        ValueError: the value is something else.
    """
    if isinstance(value, list | tuple):
        if any(each is None for each in value):
            raise ValueError("one of its media is null; leave it out of the list, or fill it")
        return tuple(address(each, kind) for each in value)
    is_held = _source(value) is not None or _bytes(value) is not None
    return () if not is_held and is_blank(value) else (address(value, kind),)


def address(value: Any, kind: str) -> Medium:
    """Return the path or URI of one medium, or the medium itself if the value holds it.

    Raises:
        ValueError: the value is something else.
    """
    if (source := _source(value)) is not None:
        return source
    data = _bytes(value)
    if data:
        name = value.get("path") if isinstance(value, Mapping) else None
        origin = f"an embedded {kind}"
        return Source(
            origin, cell=InMemory(bytes(data)), name=name if isinstance(name, str) else ""
        )
    given = [value] if isinstance(value, str) else []
    if isinstance(value, Mapping):
        given = [value[key] for key in PLACES if isinstance(value.get(key), str)]
    if len(set(given)) != 1:
        raise ValueError("give a path or a list of paths")
    return given[0]


def shown(medium: Medium) -> str:
    """Return what errors call a medium."""
    return medium.origin if isinstance(medium, Source) else medium


def _source(value: Any) -> Source | None:
    """Return the source that stands for a value, or for the bytes in it."""
    held = value.get("bytes") if isinstance(value, Mapping) else value
    return held if isinstance(held, Source) else None


def _bytes(value: Any) -> bytes | bytearray | None:
    """Return the bytes that a value holds itself; those of decoded sound are a WAV file."""
    if not isinstance(value, Mapping):
        return value if isinstance(value, bytes | bytearray) else None
    samples = value.get("array")
    if samples is not None and len(samples):
        return wave_file(samples, value.get("sampling_rate") or 0)
    data = value.get("bytes")
    return data if isinstance(data, bytes | bytearray) else None
