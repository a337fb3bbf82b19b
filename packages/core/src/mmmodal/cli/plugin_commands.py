"""The commands of other packages, found without importing the packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

__all__ = ["package_of", "plugin_commands"]


def plugin_commands() -> dict[str, list[EntryPoint]]:
    """Return the entry points of the group `mmmodal.commands`, by name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group="mmmodal.commands"):
        found.setdefault(entry.name, []).append(entry)
    return found


def package_of(entry: EntryPoint) -> str:
    """Return the package of an entry point."""
    return entry.dist.name if entry.dist is not None else "an unknown package"
