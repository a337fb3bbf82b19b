"""What a tower's features depend on besides the medium, as a description and a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mmmodal.digests import tensors_digest

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["describe_tower", "name_of"]

NOT_OF_THE_NETWORK = {"dtype", "torch_dtype", "transformers_version"}
"""What a config says besides how features are computed; the weights tell their own type."""


def describe_tower(
    model: MMModalForConditionalGeneration, modality: str, stored: str, computed: str
) -> dict[str, Any]:
    """Say all that decides a tower's features: encoder, options, network, weights, precision.

    Args:
        model: whose tower it is, on the CPU, whole.
        modality: which.
        stored: the precision of the features on disk.
        computed: the precision of the tower's arithmetic, where autocast sets it.
    """
    entry = model.processor.modalities[modality]
    network = model.config.of(modality, "config").to_dict()
    return {
        "modality": modality,
        **{key: entry[key] for key in ("encoder", "package", "version", "options")},
        "network": _lasting(network),
        "weights": tensors_digest(model.model.tower(modality).state_dict()),
        "stored": stored,
        "computed": computed,
        "mmmodal-core": version("mmmodal-core"),
    }


def name_of(description: Mapping[str, Any]) -> str:
    """Return the name of the folder for features of that description."""
    text = json.dumps(description, sort_keys=True, default=str)
    return f"{description['modality']}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a config says of files and versions."""
    return {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and key not in NOT_OF_THE_NETWORK
    }
