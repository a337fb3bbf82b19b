"""The key of a tower's features: a description of all they depend on besides the medium."""

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
"""Keys of a config that do not affect features; the dtype is part of the weights' digest."""


def describe_tower(
    modality: str,
    entry: Mapping[str, Any],
    config: Mapping[str, Any],
    network: nn.Module,
    *,
    stored: str,
    computed: str,
    code: str = "",
) -> dict[str, Any]:
    """Return all that a tower's features depend on: encoder, options, network, weights, precision.

    Args:
        modality: the modality of the tower.
        entry: the model folder's entry of the encoder.
        config: the config of the network.
        network: the whole tower, on the CPU.
        stored: the precision of the features on disk.
        computed: the precision of the tower's arithmetic.
        code: the digest of code that no version stands for, as it is being developed.
    """
    return {
        "modality": modality,
        **{key: entry[key] for key in ("encoder", "package", "version", "options")},
        "network": _lasting(config),
        "weights": tensors_digest(network.state_dict()),
        "stored": stored,
        "computed": computed,
        "mmmodal-core": version("mmmodal-core"),
        **({"code": code} if code else {}),
    }


def name_of(description: Mapping[str, Any]) -> str:
    """Return the name of the folder for features of a description."""
    text = json.dumps(description, sort_keys=True, default=str)
    return f"{description['modality']}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without keys for files and versions."""
    return {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and key not in NOT_OF_THE_NETWORK
    }
