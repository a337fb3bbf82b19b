"""Check the classes that the hooks of a plugin return."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["check_parts"]


def check_parts(kind: str, parts: list[type[Any]], contract: type[Any]) -> None:
    """Raise a TypeError if one of `parts` is not a valid part of that kind."""
    for part in parts:
        if not (isinstance(part, type) and issubclass(part, contract)):
            found = f"mmmodal_{kind} returned {part!r}"
            raise TypeError(f"{found}, which is not a subclass of {contract.__name__}")
        if missing := sorted(getattr(part, "__abstractmethods__", ())):
            raise TypeError(f"{part.__name__} does not implement {', '.join(missing)}")
        _check_attributes(kind, part)
    names = [part.name for part in parts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TypeError(f"mmmodal_{kind} returned two parts named {twice[0]!r}")


def _check_attributes(kind: str, part: type[Any]) -> None:
    from mmmodal.config import Config

    name = getattr(part, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"{part.__name__} has no `name`")
    # A modality's name becomes attributes of the model; in `NAME:SOURCE` a colon ends the name.
    good = name.isidentifier() and name != "text" if kind == "modalities" else _is_word(name)
    if not good:
        raise TypeError(f"{part.__name__}.name is {name!r}, which is not a valid name")
    if kind == "encoders" and not isinstance(getattr(part, "modality", None), str):
        raise TypeError(f"{part.__name__} has no `modality`")
    if kind == "modalities":
        _check_limits(part)
    if kind == "formats":
        _check_keys(part)
    options = getattr(part, "Options", Config)
    if not (isinstance(options, type) and issubclass(options, Config)):
        raise TypeError(
            f"{part.__name__}.Options is {options!r}, which is not a subclass of mmmodal.Config"
        )


def _check_limits(part: type[Any]) -> None:
    from mmmodal.media.limits import Limits

    if not (isinstance(part.Limits, type) and issubclass(part.Limits, Limits)):
        wanted = "which is not a subclass of mmmodal.authoring.media.Limits"
        raise TypeError(f"{part.__name__}.Limits is {part.Limits!r}, {wanted}")
    if isinstance(part.endings, str) or not all(isinstance(each, str) for each in part.endings):
        wanted = "which is not a tuple of texts"
        raise TypeError(f"{part.__name__}.endings is {part.endings!r}, {wanted}")


def _check_keys(part: type[Any]) -> None:
    if not isinstance(getattr(part, "shape", None), str):
        raise TypeError(f"{part.__name__} has no `shape`, the keys of its rows as text")
    keys = part.structured
    if isinstance(keys, str) or not all(isinstance(each, str) for each in keys):
        wanted = "which is not a tuple of texts"
        raise TypeError(f"{part.__name__}.structured is {keys!r}, {wanted}")


def _is_word(name: str) -> bool:
    return re.fullmatch(r"\w[\w.+-]*", name) is not None
