"""Whisper in transformers' format: a folder or a Hub id, with JSON files and safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.authoring import pretrained
from mmmodal.authoring.parts import PartError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import WhisperConfig

__all__ = ["TransformersCheckpoint"]

ARCHITECTURE = (
    "d_model",
    "num_mel_bins",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "encoder_layerdrop",
    "activation_function",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "scale_embedding",
    "max_source_positions",
)
"""The keys of a Whisper config that the encoder needs."""

PREFIXES = ("model.encoder.", "encoder.", "")
"""Prefixes of the encoder: in the whole model, in the model without its head, and alone."""


class TransformersCheckpoint(pretrained.Checkpoint["WhisperConfig"]):
    """A folder or Hub repository of transformers; its weights are read from safetensors only."""

    def config(self) -> WhisperConfig:
        """Return the config of the encoder, from config.json."""
        from transformers import WhisperConfig

        values = pretrained.read_json(self.source, "config.json")
        if values is None:
            raise PartError(
                f"{self.source}: it has no config.json, so it is not a folder of transformers; "
                "for a checkpoint of openai-whisper, name the .pt file itself"
            )
        if values.get("model_type") != "whisper":
            raise PartError(f"{self.source} is a {values.get('model_type')!r} model, not Whisper")
        known = {key: values[key] for key in ARCHITECTURE if key in values}
        return pretrained.make_config(WhisperConfig, known, "Whisper", self.source)

    def preprocessing(self) -> dict[str, Any]:
        """Return the settings of the feature extractor."""
        values = pretrained.read_processor(self.source, "feature_extractor")
        keys = ("sampling_rate", "n_fft", "hop_length")
        return {key: values[key] for key in keys if values.get(key) is not None}

    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors from one or several safetensors files."""
        return pretrained.read_tensors(self.source, shapes, PREFIXES)

    def download_size(self) -> list[tuple[str, int]] | None:
        """Return the files to download, as (file, bytes)."""
        from mmmodal.authoring.pretrained import hub_files

        return hub_files(self.source, pretrained.WEIGHT_FILES)
