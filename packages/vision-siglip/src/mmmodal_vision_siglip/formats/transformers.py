"""Checkpoints of transformers: `config.json` beside safetensors, in a folder or on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.authoring import pretrained
from mmmodal.authoring.parts import PartError
from mmmodal.authoring.pretrained import hub_files

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import SiglipVisionConfig

__all__ = ["MODEL_TYPES", "TransformersCheckpoint"]

MODEL_TYPES = ("siglip", "siglip_vision_model")
"""The model types of SigLIP, and SigLIP 2 of fixed resolution, with and without a text tower."""

ARCHITECTURE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "attention_dropout",
)
"""The keys of a SigLIP config that the tower needs."""

FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by their numbers in stored image processors."""


class TransformersCheckpoint(pretrained.Checkpoint["SiglipVisionConfig"]):
    """A folder or Hub repository with a `config.json` of SigLIP."""

    def __init__(self, source: str, values: Mapping[str, Any]) -> None:
        """Keep the source and the content of its `config.json`."""
        super().__init__(source)
        self.values = values

    def config(self) -> SiglipVisionConfig:
        """Return the config of the image tower, from `config.json`."""
        from transformers import SiglipVisionConfig

        whole = self.values.get("model_type") == "siglip"
        vision = self.values.get("vision_config", {}) if whole else self.values
        if not isinstance(vision, dict):
            raise PartError(f"{self.source}: vision_config in config.json is not a JSON object")
        known = {key: vision[key] for key in ARCHITECTURE if key in vision}
        known["vision_use_head"] = False
        config = pretrained.make_config(SiglipVisionConfig, known, "SigLIP", self.source)
        if config.num_channels != 3 or not isinstance(config.image_size, int):
            raise PartError(f"{self.source}: only square RGB pictures are supported")
        return config

    def preprocessing(self) -> dict[str, Any]:
        """Return the options of the source's image processor."""
        values = pretrained.read_processor(self.source, "image_processor")
        keys = ("rescale_factor", "image_mean", "image_std")
        found = {key: values[key] for key in keys if values.get(key) is not None}
        found["resizer"] = "torchvision"  # the default of image processors since version 5
        if values.get("do_rescale") is False:
            found["rescale_factor"] = 1.0
        if values.get("do_normalize") is False:
            found |= {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}
        if values.get("resample") in range(len(FILTERS)):
            found["resample"] = FILTERS[values["resample"]]
        return found

    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors from safetensors of whole models or of vision towers."""
        return pretrained.read_tensors(self.source, shapes, ("vision_model.", ""))

    def download_size(self) -> list[tuple[str, int]] | None:
        """Return the weight files to download, as (file, bytes)."""
        return hub_files(self.source, pretrained.WEIGHT_FILES)
