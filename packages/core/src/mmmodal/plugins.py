"""Find, check and load plugins. A broken plugin gets a status with a reason; it never crashes."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mmmodal import hookspecs
from mmmodal.contracts.addition import Provided
from mmmodal.errors import PluginError, is_debugging, one_line

__all__ = ["KINDS", "Family", "Plugin", "RecipeFile", "Registry", "registry"]

CORE = "mmmodal-core"

KINDS = {
    "modalities": "modality",
    "encoders": "encoder",
    "projectors": "projector",
    "backbones": "backbone",
    "converters": "converter",
}
"""The kinds of parts and the word for one part; the hook of each kind is `mmmodal_<kind>`."""


@dataclass(frozen=True)
class Family:
    """The kinds of parts whose hooks one package defines."""

    hookspecs: ModuleType
    contracts: str
    """The module of the base classes of parts; imported when the first part is checked."""

    kinds: Mapping[str, str]
    """As in `KINDS`; the base class of a `language model` is `LanguageModel`."""

    def contract(self, kind: str) -> type[Any]:
        """Return the base class of the parts of a kind."""
        name = "".join(word.capitalize() for word in self.kinds[kind].split())
        contract: type[Any] = getattr(import_module(self.contracts), name)
        return contract


CORE_PARTS = Family(hookspecs, "mmmodal.contracts", KINDS)

Status = Literal["ok", "failed", "incompatible", "disabled"]


@dataclass(frozen=True)
class Plugin:
    """One entry point, and the result of loading it."""

    name: str
    package: str
    version: str
    status: Status
    reason: str = ""
    """Why the plugin is not ok; if it is ok, a note for its author or user."""

    provides: dict[str, list[str]] = field(default_factory=dict)
    details: str = ""
    """The full traceback of a failure."""


@dataclass(frozen=True)
class RecipeFile:
    """A recipe of a plugin: its file, and its package."""

    name: str
    path: Path
    package: str
    plugin: str = ""


class Registry:
    """All plugins of this environment, and the parts of a family that they provide."""

    def __init__(self, family: Family = CORE_PARTS) -> None:
        self.family = family
        self.plugins: list[Plugin] = []
        self._parts: dict[str, dict[str, list[Provided]]] = {kind: {} for kind in family.kinds}
        self.recipes: dict[str, list[RecipeFile]] = {}
        self._manager = pluggy.PluginManager("mmmodal")
        self._manager.add_hookspecs(family.hookspecs)
        for entry in _entry_points():
            self.plugins.append(self._load(entry))
        self.plugins = [self._with_conflicts(plugin) for plugin in self.plugins]

    def names(self, kind: str) -> list[str]:
        """Return the names of all parts of a kind, sorted."""
        return sorted(self._parts[kind])

    def provided(self, kind: str) -> Iterator[tuple[str, Provided]]:
        """Yield (name, part) of a kind, sorted by name; a name in conflict is repeated."""
        for name in self.names(kind):
            for item in self._parts[kind][name]:
                yield name, item

    def get(self, kind: str, name: str, package: str | None = None) -> Provided | None:
        """Return the part of a name, or None; `package` restricts the search to one package.

        Raises:
            PluginError: two plugins provide it.
        """
        found = [
            item
            for item in self._parts[kind].get(name, [])
            if package is None or canonicalize_name(item.package) == canonicalize_name(package)
        ]
        if len(found) > 1:
            raise PluginError(self._conflict(kind, name, found))
        return found[0] if found else None

    def conflicts(self, kind: str) -> dict[str, str]:
        """Return the error message for each name that several plugins provide."""
        return {
            name: self._conflict(kind, name, found)
            for name, found in sorted(self._parts[kind].items())
            if len(found) > 1
        }

    def _load(self, entry: EntryPoint) -> Plugin:
        known = (entry.name, *_package(entry.dist))
        if not _is_enabled(*known[:2]):
            return Plugin(*known, "disabled", "not named in MMMODAL_PLUGINS")
        try:
            if clash := _core_requirement_clash(entry.dist):
                return Plugin(*known, "incompatible", clash)
            parts, recipes, note = self._collect(entry)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # includes SystemExit and the panics of Rust extensions
            if is_debugging():
                traceback.print_exc()
            reason = f"{type(error).__name__}: {one_line(error)}"
            return Plugin(*known, "failed", reason, details=traceback.format_exc())
        for kind, classes in parts.items():
            for part in classes:
                provided = Provided(part, known[1], known[2], plugin=known[0])
                self._parts[kind].setdefault(part.name, []).append(provided)
        for path in recipes:
            recipe = RecipeFile(path.stem, path, known[1], plugin=known[0])
            self.recipes.setdefault(path.stem, []).append(recipe)
        provides = {kind: [part.name for part in classes] for kind, classes in parts.items()}
        provides["recipes"] = [path.stem for path in recipes]
        return Plugin(*known, "ok", note, provides={k: v for k, v in provides.items() if v})

    def _collect(self, entry: EntryPoint) -> tuple[dict[str, list[type[Any]]], list[Path], str]:
        """Import a plugin and call all its hooks; return parts, recipes and a note."""
        name = f"{_package(entry.dist)[0]}:{entry.name}"
        # Text that a plugin prints must not become part of a command's result.
        with contextlib.redirect_stdout(sys.stderr):
            plugin = entry.load()
            try:
                self._manager.register(plugin, name=name)
                hooked = bool(self._manager.get_hookcallers(plugin))
                parts = {kind: self._ask_parts(plugin, kind) for kind in self.family.kinds}
                recipes = self._ask_recipes(plugin) if self.family is CORE_PARTS else []
            finally:
                # Hooks are called once, here, so that one that raises cannot break a later call.
                if self._manager.has_plugin(name):
                    self._manager.unregister(name=name)
        note = "" if hooked else "it implements no hook; mark its functions with @mmmodal.hookimpl"
        return parts, recipes, note

    def _ask_parts(self, plugin: object, kind: str) -> list[type[Any]]:
        """Return a plugin's parts of a kind."""
        contract = self.family.contract(kind)
        parts = self._ask(plugin, kind, f"a list of {contract.__name__} classes")
        _check(kind, parts, contract)
        return parts

    def _ask_recipes(self, plugin: object) -> list[Path]:
        """Return a plugin's folders of recipes."""
        folders = self._ask(plugin, "recipes", "a list of folders")
        for folder in folders:
            if not isinstance(folder, Path) or not folder.is_dir():
                raise TypeError(
                    f"mmmodal_recipes returned {folder!r}, which is not the Path of a folder"
                )
        return sorted(path for folder in folders for path in folder.glob("*.yaml"))

    def _ask(self, plugin: object, kind: str, expected: str) -> list[Any]:
        """Return the result of a plugin's hook `mmmodal_<kind>`; an empty list if it has none."""
        caller: Any = getattr(self._manager.hook, f"mmmodal_{kind}")
        parts: list[Any] = []
        for implementation in caller.get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            result = implementation.function()
            try:
                found = list(result)
            except TypeError as error:
                if hasattr(result, "__iter__"):
                    raise
                raise TypeError(f"mmmodal_{kind} returned {result!r}, not {expected}") from error
            parts += found
        return parts

    def _with_conflicts(self, plugin: Plugin) -> Plugin:
        """Return a plugin whose reason names the conflicts with other plugins."""
        notes = [
            text
            for kind, names in plugin.provides.items()
            if kind in self.family.kinds
            for name, text in self.conflicts(kind).items()
            if name in names
        ]
        return replace(plugin, reason="; ".join(notes)) if notes else plugin

    def _conflict(self, kind: str, name: str, found: list[Provided]) -> str:
        providers = " and ".join(f"{item.package} (plugin {item.plugin!r})" for item in found)
        return (
            f"{self.family.kinds[kind]} {name!r} is provided by {providers}; "
            "uninstall one of them, or name the plugins to use in MMMODAL_PLUGINS"
        )


def _check(kind: str, parts: list[type[Any]], contract: type[Any]) -> None:
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


def _is_word(name: str) -> bool:
    return re.fullmatch(r"\w[\w.+-]*", name) is not None


def _entry_points() -> list[EntryPoint]:
    found = entry_points(group=hookspecs.ENTRY_POINT_GROUP)
    # Core first, so that a conflict with a built-in name has the same message on every machine.
    return sorted(found, key=lambda e: (_package(e.dist)[0] != CORE, _package(e.dist)[0], e.name))


def _package(dist: Distribution | None) -> tuple[str, str]:
    """Return the name and version of a distribution, even if its metadata are damaged."""
    try:
        metadata: Any = dist.metadata if dist is not None else {}
        return metadata["Name"] or "unknown", metadata["Version"] or ""
    except (KeyError, PackageNotFoundError):
        return "unknown", ""


def _is_enabled(name: str, package: str) -> bool:
    chosen = os.environ.get("MMMODAL_PLUGINS")
    if chosen is None or package == CORE:
        return True
    return not {name, package}.isdisjoint(word.strip() for word in chosen.split(","))


def _core_requirement_clash(dist: Distribution | None) -> str:
    """Return the conflict between the mmmodal-core a package requires and the installed one."""
    for text in (dist.requires or []) if dist is not None else []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != CORE:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(version(CORE), prereleases=True):
            return f"needs {CORE}{requirement.specifier}, found {version(CORE)}"
    return ""


@functools.cache
def registry() -> Registry:
    """Return the registry of this process; the first call loads the plugins."""
    return Registry()
