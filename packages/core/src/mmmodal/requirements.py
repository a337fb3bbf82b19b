"""Compare what an installed package says it needs with what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["CORE", "core_clash", "unbounded", "unmet"]

CORE = "mmmodal-core"


def core_clash(dist: Distribution | None) -> str:
    """Return the conflict between the mmmodal-core a package requires and the installed one."""
    for requirement in _requirements(dist):
        if canonicalize_name(requirement.name) == CORE and (found := _problem(requirement)):
            return found
    return ""


def unmet(dist: Distribution | None) -> str:
    """Return the first requirement of a package, other than core, that is not satisfied."""
    for requirement in _requirements(dist):
        if canonicalize_name(requirement.name) != CORE and (found := _problem(requirement)):
            return found
    return ""


def unbounded(package: str) -> str:
    """Return a note if a package does not say with which versions of mmmodal-core it works."""
    try:
        dist = distribution(package)
    except (PackageNotFoundError, ValueError):
        return ""  # its metadata are damaged
    bounds = [r.specifier for r in _requirements(dist) if canonicalize_name(r.name) == CORE]
    if any(bounds) or canonicalize_name(package) == CORE:
        return ""
    return f"note: it does not say with which versions of {CORE} it works"


def _requirements(dist: Distribution | None) -> Iterator[Requirement]:
    """Yield the requirements of a package that hold here, without extras."""
    for text in (dist.requires or []) if dist is not None else []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _problem(requirement: Requirement) -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"needs {requirement.name}{requirement.specifier}, which is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"needs {requirement.name}{requirement.specifier}, found {found}"
