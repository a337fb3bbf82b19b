"""Find a part by its name; the error for an unknown name suggests a name or a package."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from packaging.utils import canonicalize_name

from mmmodal.config import closest, validate
from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.contracts.addition import Provided
from mmmodal.errors import CheckpointError, ConfigError, PartError
from mmmodal.plugins import KINDS, Plugin, registry

__all__ = [
    "encoder_from",
    "find",
    "find_for_checkpoint",
    "missing",
    "modality_of",
    "projector_from",
]


OWN = ("mmmodal-core", "mmmodal-datagen", "mmmodal-playground")
"""This project's packages that the phone book does not name."""


def find(kind: str, name: str) -> Provided:
    """Return the part named `name`; `kind` is one of `KINDS`.

    Raises:
        PartError: no plugin provides it.
        PluginError: two plugins provide it.
    """
    found = registry().get(kind, name)
    if found is None:
        raise PartError(_unknown(kind, name))
    return found


def missing(kind: str) -> list[str]:
    """Return for each known part of a kind that cannot be used the reason, and what to install."""
    there = registry().names(kind)
    return [_unknown(kind, name) for name in _phone_book(kind) if name not in there]


def find_for_checkpoint(kind: str, name: str, package: str, version: str) -> Provided:
    """Return the part of a checkpoint, from the package that the checkpoint records.

    Raises:
        CheckpointError: the package is not installed, fails to load, or lacks the part.
    """
    if not package:
        return find(kind, name)
    if found := registry().get(kind, name, package):
        return found
    origin = f"this model's {KINDS[kind]} {name!r} comes from {_shown(package)} {version}".rstrip()
    plugins = _plugins_of(package)
    if not plugins:
        raise CheckpointError(f"{origin}, which is not installed{_known_install(package)}")
    if broken := _broken(plugins):
        raise CheckpointError(f"{origin}, {broken}")
    installed = f"the installed {package} {plugins[0].version} does not provide it"
    raise CheckpointError(f"{origin}; {installed}{_install(package, version)}")


def modality_of(name: str) -> Modality:
    """Return the modality named `name`."""
    modality: Modality = find("modalities", name).part()
    return modality


def encoder_from(entry: Mapping[str, Any], tower_config: Any = None) -> Encoder:
    """Return the encoder that an entry of a checkpoint describes."""
    provided = find_for_checkpoint("encoders", entry["encoder"], entry["package"], entry["version"])
    where = f"options of encoder {entry['encoder']!r}"
    options = validate(provided.part.Options, entry["options"], where)
    encoder: Encoder = provided.part(options, tower_config)
    return encoder


def projector_from(entry: Mapping[str, Any]) -> Projector:
    """Return the projector that an entry of a checkpoint describes."""
    if not isinstance(entry, Mapping) or "projector" not in entry:
        raise ConfigError("projector config", ["'projector' is missing"])
    name = entry["projector"]
    provided = find_for_checkpoint(
        "projectors", name, entry.get("package", ""), entry.get("version", "")
    )
    where = f"options of projector {name!r}"
    projector: Projector = provided.part(
        validate(provided.part.Options, entry.get("options", {}), where)
    )
    return projector


def _unknown(kind: str, name: str) -> str:
    """Return the error message for an unknown name, with the most certain suggestion."""
    word, names = KINDS[kind], registry().names(kind)
    package = _known_package(kind, name)
    plugins = _plugins_of(package) if package else []
    if package and not plugins:
        origin = f"{word} {name!r} comes from {package}"
        return f"{origin}, which is not installed{_install(package)}"
    if broken := _broken(plugins):
        return f"{word} {name!r} comes from {package}, {broken}"
    if close := closest(name, names):
        return f"unknown {word} {name!r}. Did you mean {close!r}?"
    if close := closest(name, _phone_book(kind)):
        package = _phone_book(kind)[close]
        if not _plugins_of(package):
            meant = f"Did you mean {close!r}? {package} provides it"
            return f"unknown {word} {name!r}. {meant}{_install(package)}"
    known = f"Known: {', '.join(names)}" if names else f"No {word} is installed"
    hint = "Install the package that provides it"
    failed = [plugin.name for plugin in registry().plugins if plugin.status == "failed"]
    maybe = f", or see `mmmodal plugins`: {', '.join(failed)} failed to load" if failed else ""
    return f"unknown {word} {name!r}. {known}. {hint}{maybe}"


@functools.cache
def _phone_book(kind: str) -> dict[str, str]:
    """Return the package for each known name, or its beginning; it is used for hints only."""
    text = files("mmmodal").joinpath("known_parts.json").read_text(encoding="utf-8")
    book: dict[str, dict[str, str]] = json.loads(text)
    return book.get(kind, {})


def _known_package(kind: str, name: str) -> str | None:
    book = _phone_book(kind)
    begins = [key for key in book if re.match(rf"{re.escape(key)}(?![^\W\d_])", name.casefold())]
    return book[max(begins, key=len)] if begins else None


def _plugins_of(package: str) -> list[Plugin]:
    wanted = canonicalize_name(package)
    return [plugin for plugin in registry().plugins if canonicalize_name(plugin.package) == wanted]


def _broken(plugins: list[Plugin]) -> str:
    """Return the problem of the first plugin of a package that is not ok; empty if all are ok."""
    for plugin in plugins:
        if plugin.status == "failed":
            check = f"Run `mmmodal plugins check {plugin.name}`"
            return f"which failed to load: {plugin.reason}. {check}"
        if plugin.status == "unmet":
            return f"which {plugin.reason}; install that"
        if plugin.status != "ok":
            return f"which is {plugin.status}: {plugin.reason}"
    return ""


def _shown(package: str) -> str:
    return package if _is_package_name(package) else repr(package)


def _is_package_name(package: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", package) is not None


def _known_install(package: str) -> str:
    """Return the command that installs a package that a checkpoint names, if it is a known one.

    A checkpoint may be of unknown origin, and installing a package runs its code.
    """
    if canonicalize_name(package) in _published():
        return _install(package)
    return (
        ". The model names that package, which is not a known one: look at it, and at who "
        "publishes it, before you install it"
    )


@functools.cache
def _published() -> frozenset[str]:
    """Return the names of this project's packages, and of those in the phone book."""
    return frozenset({*OWN, *(name for kind in KINDS for name in _phone_book(kind).values())})


def _install(package: str, version: str = "") -> str:
    """Return the command that installs a package, unless its name, which may come from a file of
    unknown origin, is not valid."""
    if not (_is_package_name(package) and re.fullmatch(r"[\w.+!-]*", version)):
        return ""
    return f". Run: pip install {package}{f'=={version}' if version else ''}"
