"""Paths and URIs of media, as rows of tables and JSON hold them under a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmmodal.records.naming import is_blank

__all__ = ["address", "addresses"]

PLACES = ("path", "url", "uri")


def addresses(value: Any, kind: str) -> tuple[str, ...]:
    """Return the path or URI of each medium of a value: one, or a list of them.

    Args:
        value: texts, or structs such as `{"path": …}`, also with `bytes` that are null; null, an
            empty text or an empty struct alone is none.
        kind: the media in words, for errors: `image`.

    Raises:
        ValueError: a medium is embedded, or the value is something else.
    """
    if isinstance(value, list | tuple):
        return tuple(address(each, kind) for each in value)
    return () if is_blank(value) else (address(value, kind),)


def address(value: Any, kind: str) -> str:
    """Return the path or URI of one medium.

    Raises:
        ValueError: it is embedded, or has none.
    """
    if isinstance(value, bytes | bytearray) or (
        isinstance(value, Mapping)
        and any(not is_blank(value.get(key)) for key in ("bytes", "array"))
    ):
        raise ValueError(f"embedded {kind}s are not supported; save them as files and give paths")
    given = [value] if isinstance(value, str) else []
    if isinstance(value, Mapping):
        given = [value[key] for key in PLACES if isinstance(value.get(key), str)]
    if len(set(given)) != 1:
        raise ValueError("give a path or a list of paths")
    return given[0]
