"""Weights and settings of published models, on this machine or the Hub."""

from mmmodal.backbones.auto import AutoBackbone
from mmmodal.downloads import hub_files
from mmmodal.making.contents import checkpoint_code, checkpoint_files
from mmmodal.pretrained import (
    WEIGHT_FILES,
    Checkpoint,
    find_file,
    layers_to_run,
    make_config,
    read_json,
    read_pickled,
    read_processor,
    read_tensors,
    tensor_shapes,
)

__all__ = [
    "WEIGHT_FILES",
    "AutoBackbone",
    "Checkpoint",
    "checkpoint_code",
    "checkpoint_files",
    "find_file",
    "hub_files",
    "layers_to_run",
    "make_config",
    "read_json",
    "read_pickled",
    "read_processor",
    "read_tensors",
    "tensor_shapes",
]
