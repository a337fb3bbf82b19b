"""Find the recipes of core and plugins by name, list them, and copy them for a user."""

from __future__ import annotations

from pathlib import Path

from mmmodal.config import suggest
from mmmodal.errors import ConfigError, PluginError
from mmmodal.files import SUFFIXES, copy_to_own
from mmmodal.plugins import RecipeFile, registry

__all__ = ["copy_recipe", "find_recipe", "recipe_names"]


def recipe_names() -> list[str]:
    """Return the names of all recipes of this environment, sorted."""
    return sorted(registry().recipes)


def find_recipe(name: str) -> RecipeFile:
    """Return the recipe named `name`, or the one in the file `name`.

    Raises:
        ConfigError: there is no such recipe or YAML file.
        PluginError: two plugins provide a recipe of this name.
    """
    found = registry().recipes.get(name, [])
    if len(found) > 1:
        origins = " and ".join(f"{item.package} (plugin {item.plugin!r})" for item in found)
        raise PluginError(
            f"recipe {name!r} is provided by {origins}; uninstall one of them, or name its file"
        )
    if found:
        return found[0]
    if Path(name).suffix not in SUFFIXES:
        hint = suggest(name, recipe_names())
        raise ConfigError("recipe", [f"{name!r} is neither a recipe nor a YAML file{hint}"])
    return RecipeFile(name, Path(name), "")


def copy_recipe(name: str, target: Path) -> None:
    """Copy a recipe to a new file.

    Raises:
        ConfigError: there is no such recipe, the file exists or cannot be written, or its name is
            not that of a YAML file.
    """
    copy_to_own(find_recipe(name).path, target, "recipe")
