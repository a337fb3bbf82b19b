"""The pipelines that ship with this package: found by name, listed, copied for a user to own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mmmodal.config import suggest
from mmmodal.errors import ConfigError
from mmmodal.plugins import RecipeFile
from mmmodal.train.recipe_files import about

__all__ = ["about_pipeline", "copy_pipeline", "find_pipeline", "shipped_pipelines"]

SUFFIXES = (".yaml", ".yml")


def shipped_pipelines() -> dict[str, Path]:
    """Return the pipelines of this package by name."""
    folder = Path(str(files("mmmodal_datagen"))) / "pipelines"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_pipeline(name: str) -> Path:
    """Return the file of the pipeline of that name, or the YAML file of that name.

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


def about_pipeline(path: Path) -> str:
    """Return what a pipeline says of itself: the comment at its beginning, on one line."""
    return about(RecipeFile(path.stem, path, "mmmodal-datagen"))


def copy_pipeline(name: str, target: Path) -> None:
    """Copy a pipeline to a file that does not exist yet.

    Raises:
        ConfigError: there is no such pipeline, or the file cannot be made or is no YAML file.
    """
    text = find_pipeline(name).read_text(encoding="utf-8")
    if target.suffix not in SUFFIXES:
        raise ConfigError(str(target), ["a pipeline's file ends in .yaml"])
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(str(target), ["it exists already; choose another name"]) from None
    except OSError as error:
        raise ConfigError(str(target), [f"it cannot be written ({error.strerror})"]) from None
