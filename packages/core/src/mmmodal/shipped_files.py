"""YAML files that come with a package, recipes and pipelines: told about, and copied to own."""

from __future__ import annotations

from pathlib import Path

from mmmodal.errors import ConfigError

__all__ = ["SUFFIXES", "about", "copy_to_own"]

SUFFIXES = (".yaml", ".yml")


def about(path: Path) -> str:
    """Return what a file says of itself: the comment at its beginning, on one line."""
    told = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        told.append(line.lstrip("# "))
    return " ".join(told)


def copy_to_own(source: Path, target: Path, kind: str) -> None:
    """Copy a file to one that does not exist yet.

    Args:
        source: what is copied.
        target: the new file.
        kind: what it is, for errors: `recipe`.

    Raises:
        ConfigError: the file cannot be made, or is no YAML file.
    """
    text = source.read_text(encoding="utf-8")
    if target.suffix not in SUFFIXES:
        raise ConfigError(str(target), [f"a {kind}'s file ends in .yaml"])
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(str(target), ["it exists already; choose another name"]) from None
    except OSError as error:
        raise ConfigError(str(target), [f"it cannot be written ({error.strerror})"]) from None
