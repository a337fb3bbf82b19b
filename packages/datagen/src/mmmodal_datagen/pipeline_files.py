"""The pipelines that ship with this package: listed, found by name, and copied."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mmmodal.authoring.files import SUFFIXES, copy_to_own
from mmmodal.authoring.parts import ConfigError, suggest

__all__ = ["copy_pipeline", "find_pipeline", "shipped_pipelines"]


def shipped_pipelines() -> dict[str, Path]:
    """Return the pipelines of this package by name."""
    folder = Path(str(files("mmmodal_datagen"))) / "pipelines"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_pipeline(name: str) -> Path:
    """Return the file of a shipped pipeline, or the YAML file of that name.

    Raises:
        ConfigError: it is neither.
    """
    if Path(name).suffix in SUFFIXES:
        return Path(name)
    shipped = shipped_pipelines()
    if name not in shipped:
        hint = suggest(name, shipped)
        raise ConfigError("pipeline", [f"{name!r} is neither a pipeline nor a YAML file{hint}"])
    return shipped[name]


def copy_pipeline(name: str, target: Path) -> None:
    """Copy a pipeline to a file that does not exist yet.

    Raises:
        ConfigError: there is no such pipeline, or the file cannot be made or is no YAML file.
    """
    copy_to_own(find_pipeline(name), target, "pipeline")
