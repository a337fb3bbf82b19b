"""The configurations of DeepSpeed that a recipe names, or those of a user's own file."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmmodal.config import suggest
from mmmodal.errors import ConfigError
from mmmodal.utf8 import NotUtf8Error, decoded

__all__ = ["deepspeed_config"]


def deepspeed_config(choice: str, has_gpu: bool) -> dict[str, Any] | None:
    """Return the DeepSpeed configuration of a recipe's `deepspeed`.

    Raises:
        ConfigError: there is no such configuration or JSON file.
    """
    if choice == "auto":
        choice = "zero2-offload" if has_gpu else "none"
    if choice == "none":
        return None
    folder = files("mmmodal.train.recipe") / "deepspeed"
    shipped = {item.name.removesuffix(".json"): item for item in folder.iterdir()}
    source: Any = shipped.get(choice, Path(choice))
    if choice not in shipped and not Path(choice).is_file():
        hint = suggest(choice, [*shipped, "none", "auto"])
        raise ConfigError(
            "recipe", [f"'deepspeed': {choice!r} is neither a known configuration nor a file{hint}"]
        )
    try:
        values: dict[str, Any] = json.loads(decoded(source.read_bytes()))
    except NotUtf8Error as error:
        raise ConfigError(choice, [f"{error}; save it as UTF-8"]) from None
    except ValueError:
        raise ConfigError(choice, ["not valid JSON"]) from None
    if values.get("zero_optimization", {}).get("stage") == 3:
        # Without this, no rank has all trained weights at the end.
        values["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    return values
