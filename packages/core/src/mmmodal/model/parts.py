"""Build the encoders and projectors that a configuration names."""

from __future__ import annotations

from typing import Any

from mmmodal.config import validate
from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.errors import ConfigError
from mmmodal.model.configuration import MMModalConfig, MMModalEncoderConfig
from mmmodal.parts import find, find_for_checkpoint

__all__ = ["encoder_of", "modality_of", "projector_of"]


def modality_of(name: str) -> Modality:
    """Return the modality of that name."""
    modality: Modality = find("modalities", name).part()
    return modality


def encoder_of(config: MMModalConfig, modality: str) -> Encoder:
    """Return the encoder that the configuration names for a modality.

    Raises:
        CheckpointError: the package that provides it is not installed.
    """
    entry = config.of(modality, "config")
    tower_config = None if isinstance(entry, MMModalEncoderConfig) else entry
    return encoder_from(
        {key: getattr(entry, key) for key in ("encoder", "package", "version", "options")},
        tower_config,
    )


def encoder_from(entry: dict[str, Any], tower_config: Any = None) -> Encoder:
    """Return the encoder that an entry of a checkpoint describes."""
    provided = find_for_checkpoint("encoders", entry["encoder"], entry["package"], entry["version"])
    where = f"options of encoder {entry['encoder']!r}"
    options = validate(provided.part.Options, entry["options"], where)
    encoder: Encoder = provided.part(options, tower_config)
    return encoder


def projector_of(config: MMModalConfig, modality: str) -> Projector:
    """Return the projector that the configuration names for a modality.

    Raises:
        CheckpointError: the package that provides it is not installed.
    """
    return projector_from(config.of(modality, "projector_config"))


def projector_from(entry: dict[str, Any]) -> Projector:
    """Return the projector that an entry of a checkpoint describes."""
    if not isinstance(entry, dict) or "projector" not in entry:
        raise ConfigError("projector config", ["'projector' is missing"])
    name = entry["projector"]
    provided = find_for_checkpoint(
        "projectors", name, entry.get("package", ""), entry.get("version", "")
    )
    where = f"options of projector {name!r}"
    projector: Projector = provided.part(
        validate(provided.part.Options, entry.get("options", {}), where)
    )
    return projector
