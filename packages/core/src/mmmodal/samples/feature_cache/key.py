"""What a tower's features depend on besides the medium, as a description and a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mmmodal.digests import tensors_digest

if TYPE_CHECKING:
    from torch import nn

__all__ = ["describe_tower", "name_of"]

NOT_OF_THE_NETWORK = {"dtype", "torch_dtype", "transformers_version"}
"""What a config says besides how features are computed; the weights tell their own type."""


def describe_tower(
    modality: str,
    entry: Mapping[str, Any],
    config: Mapping[str, Any],
    network: nn.Module,
    *,
    stored: str,
    computed: str,
) -> dict[str, Any]:
    """Return all that decides a tower's features: encoder, options, network, weights, precision.

    Args:
        modality: of which the tower is.
        entry: what the model folder records of the encoder.
        config: the network's.
        network: the tower, on the CPU, whole.
        stored: the precision of the features on disk.
        computed: the precision of the tower's arithmetic, where autocast sets it.
    """
    return {
        "modality": modality,
        **{key: entry[key] for key in ("encoder", "package", "version", "options")},
        "network": _lasting(config),
        "weights": tensors_digest(network.state_dict()),
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
