"""Find, check and load plugins. A broken plugin gets a status with a reason; it never crashes."""

from __future__ import annotations

import difflib
import functools
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points
from pathlib import Path
from typing import Any, Literal

import pluggy
from packaging.utils import canonicalize_name

from mmmodal import hookspecs
from mmmodal.contracts.addition import Provided
from mmmodal.contracts.family import Family
from mmmodal.errors import PluginError, is_debugging, one_line
from mmmodal.imports import naming_slow_plugin, stdout_to_stderr
from mmmodal.part_classes import check_parts
from mmmodal.requirements import CORE, core_clash, unmet

__all__ = ["KINDS", "Family", "Plugin", "RecipeFile", "Registry", "registry"]

KINDS = {
    "modalities": "modality",
    "encoders": "encoder",
    "projectors": "projector",
    "backbones": "backbone",
    "converters": "converter",
    "formats": "format",
    "evaluators": "evaluator",
}
"""The kinds of parts and the word for one part; the hook of each kind is `mmmodal_<kind>`."""


CORE_PARTS = Family(hookspecs, "mmmodal.contracts", KINDS)

Status = Literal["ok", "failed", "incompatible", "unmet", "disabled"]
"""`unmet`: it loads, but a package that it needs is missing or has another version."""

ALIKE = 0.75
"""The similarity of names from which one is a misspelling of the other."""


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
        self.families: list[Family] = []
        """Families of parts that plugins define."""

        self._hooks: dict[str, list[str]] = {}
        self._manager = pluggy.PluginManager("mmmodal")
        self._manager.add_hookspecs(family.hookspecs)
        for entry in _entry_points():
            self.plugins.append(self._load(entry))
        if family is CORE_PARTS:
            self.plugins = [self._without_misspelling(plugin) for plugin in self.plugins]
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
        if reason := _disabled(*known[:2]):
            return Plugin(*known, "disabled", reason)
        missing = unmet(entry.dist)
        try:
            if clash := core_clash(entry.dist):
                return Plugin(*known, "incompatible", clash)
            with naming_slow_plugin(*known[:2]):
                parts, recipes, note = self._collect(entry)
        except KeyboardInterrupt:
            about = f"interrupted while plugin {known[0]!r} of {known[1]} was being loaded"
            print(f"{about}; MMMODAL_PLUGINS=-{known[0]} leaves it out", file=sys.stderr)
            raise
        except BaseException as error:  # includes SystemExit and the panics of Rust extensions
            if is_debugging():
                traceback.print_exc()
            reason = f"{type(error).__name__}: {one_line(error)}"
            reason = f"{reason} (it {missing})" if missing else reason
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
        provides = {kind: names for kind, names in provides.items() if names}
        if missing:
            return Plugin(*known, "unmet", missing, provides=provides)
        return Plugin(*known, "ok", note, provides=provides)

    def _collect(self, entry: EntryPoint) -> tuple[dict[str, list[type[Any]]], list[Path], str]:
        """Import a plugin and call all its hooks; return parts, recipes and a note."""
        name = f"{_package(entry.dist)[0]}:{entry.name}"
        # Text that a plugin prints must not become part of a command's result.
        with stdout_to_stderr():
            plugin = entry.load()
            try:
                self._manager.register(plugin, name=name)
                hooks = [caller.name for caller in self._manager.get_hookcallers(plugin) or []]
                parts = {kind: self._ask_parts(plugin, kind) for kind in self.family.kinds}
                recipes = self._ask_recipes(plugin) if self.family is CORE_PARTS else []
                if self.family is CORE_PARTS:
                    self.families += self._ask(plugin, "families", "a list of families")
            finally:
                # Hooks are called once, here, so that one that raises cannot break a later call.
                if self._manager.has_plugin(name):
                    self._manager.unregister(name=name)
        self._hooks[entry.name] = hooks
        note = "" if hooks else "it implements no hook; mark its functions with @mmmodal.hookimpl"
        return parts, recipes, note

    def _ask_parts(self, plugin: object, kind: str) -> list[type[Any]]:
        """Return a plugin's parts of a kind."""
        contract = self.family.contract(kind)
        parts = self._ask(plugin, kind, f"a list of {contract.__name__} classes")
        check_parts(kind, parts, contract)
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

    def _without_misspelling(self, plugin: Plugin) -> Plugin:
        """Return a plugin as failed if one of its hooks has a misspelt name; forget its parts."""
        others = [kind for family in self.families for kind in family.kinds]
        kinds = [*self.family.kinds, *others, "recipes", "families"]
        for name in self._hooks.get(plugin.name, []):
            word = name.removeprefix("mmmodal_")
            close = difflib.get_close_matches(word, kinds, n=1, cutoff=ALIKE)
            if close and name not in {f"mmmodal_{kind}" for kind in kinds}:
                self._forget(plugin)
                reason = f"there is no hook {name!r}. Did you mean 'mmmodal_{close[0]}'?"
                return replace(plugin, status="failed", reason=reason, provides={})
        return plugin

    def _forget(self, plugin: Plugin) -> None:
        for kind, found in self._parts.items():
            kept = {n: [p for p in items if p.plugin != plugin.name] for n, items in found.items()}
            self._parts[kind] = {name: items for name, items in kept.items() if items}

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


def _disabled(name: str, package: str) -> str:
    """Return why MMMODAL_PLUGINS leaves a plugin out; empty if it does not.

    It names the plugins or packages to use, or with a minus those to leave out: `-depth`.
    """
    chosen = os.environ.get("MMMODAL_PLUGINS")
    if chosen is None or package == CORE:
        return ""
    words = {word.strip() for word in chosen.split(",")}
    if words & {f"-{name}", f"-{package}"}:
        return "left out by MMMODAL_PLUGINS"
    used = {word for word in words if not word.startswith("-")}
    alone = not used and any(words)  # only what is left out is named
    return "" if alone or used & {name, package} else "not named in MMMODAL_PLUGINS"


@functools.cache
def registry() -> Registry:
    """Return the registry of this process; the first call loads the plugins."""
    return Registry()
