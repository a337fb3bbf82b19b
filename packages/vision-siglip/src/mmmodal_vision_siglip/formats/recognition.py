"""Detect the format of a source: by its files on this machine, or by the form of its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.authoring import pretrained
from mmmodal.authoring.parts import PartError, suggest
from mmmodal_vision_siglip.formats.open_clip import CONFIG_FILE, from_repository
from mmmodal_vision_siglip.formats.open_clip_names import from_file, from_name, model_names
from mmmodal_vision_siglip.formats.transformers import MODEL_TYPES, TransformersCheckpoint

if TYPE_CHECKING:
    from transformers import SiglipVisionConfig

__all__ = ["open_checkpoint"]

SCHEMES = ("hf-hub:", "local-dir:")
"""open_clip's prefixes for a model that is not one of its own names."""


def open_checkpoint(source: str) -> pretrained.Checkpoint[SiglipVisionConfig]:
    """Return the checkpoint of a source; only its config is read.

    A source is a folder or Hub id (of transformers, else of open_clip), `hf-hub:ID` or
    `local-dir:FOLDER` (of open_clip), a file of open_clip's weights, or one of its names: `NAME`,
    `NAME:TAG` or `NAME:FILE`.

    Raises:
        PartError: it is none of these.
    """
    for scheme in SCHEMES:
        if source.startswith(scheme):
            return _as_open_clip(source, source.removeprefix(scheme))
    if Path(source).is_dir():
        return _in_repository(source)
    if Path(source).is_file():
        return from_file(source)
    if source.startswith((".", "/", "~")) or source.partition(":")[0].count("/") > 1:
        raise PartError(f"{source}: no such folder or file")
    if "/" in source.partition(":")[0]:
        return _in_repository(source)
    name, _, weights = source.partition(":")
    found = from_name(source, name, weights)
    if found is None:
        raise PartError(
            f"{source}: no such folder or file, and neither a Hub id (OWNER/NAME) nor a model of "
            "open_clip"
            f"{suggest(name, model_names())}"
        )
    return found


def _as_open_clip(source: str, place: str) -> pretrained.Checkpoint[SiglipVisionConfig]:
    if source.startswith("local-dir:") and not Path(place).is_dir():
        raise PartError(f"{source}: no such folder")
    found = from_repository(source, place)
    if found is None:
        raise PartError(f"{source}: it has no {CONFIG_FILE}")
    return found


def _in_repository(source: str) -> pretrained.Checkpoint[SiglipVisionConfig]:
    """Return the checkpoint of a folder or Hub repository; of both formats, transformers'."""
    try:
        values = pretrained.read_json(source, "config.json")
    except PartError:  # a Hub repository of open_clip has no such file
        found = from_repository(source, source)
        if found is None:
            raise
        return found
    kind = values.get("model_type") if values is not None else None
    if values is not None and kind in MODEL_TYPES:
        return TransformersCheckpoint(source, values)
    found = from_repository(source, source)
    if found is not None:
        return found
    if kind is None:
        lacks = "no config.json" if values is None else "no model_type in its config.json"
        raise PartError(f"{source}: it has {lacks} and no {CONFIG_FILE}; check that it is SigLIP")
    raise PartError(
        f"{source} is a {kind!r} model, not SigLIP of fixed resolution, and has no {CONFIG_FILE}"
    )
