"""The configuration of a composed model: one language model and any number of modalities."""

from __future__ import annotations

import sys
from dataclasses import field
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from mmmodal.contracts import Encoder, Projector
from mmmodal.downloads import is_hub_id
from mmmodal.errors import CheckpointError
from mmmodal.model.distrust import without_decisions
from mmmodal.parts import encoder_from, projector_from

__all__ = ["PART_KEYS", "MMModalConfig", "MMModalEncoderConfig"]

PART_KEYS = ("encoder", "package", "version", "options")
"""The keys of every `<modality>_config`, which identify the encoder."""

MODALITY_KEYS = (
    "config",
    "projector_config",
    "token_id",
    "begin_token_id",
    "end_token_id",
    "input_name",
)
"""The keys of each modality, as `<modality>_<key>`."""

SEPARATOR_KEY = "separator_token_id"
"""A further key, which older files lack: None if items have no tiles."""


UNTRAINED_KEY = "tower_is_untrained"
"""A further key, only there if a tower has the random weights of its constructor."""


class MMModalEncoderConfig(PreTrainedConfig):
    """The configuration of an encoder that has no transformers config of its own."""

    model_type = "mmmodal_encoder"

    encoder: str = ""
    package: str = ""
    version: str = ""
    options: dict[str, Any] = field(default_factory=dict)


class MMModalConfig(PreTrainedConfig):
    """A language model's `text_config` and, for each name in `modality_names`, its parts.

    For a modality `image` it has `image_config` (the tower's, with the keys of `PART_KEYS`),
    `image_projector_config`, `image_token_id` (the slot), `image_begin_token_id`,
    `image_end_token_id`, `image_separator_token_id` (None without tiles) and `image_input_name`.
    """

    model_type = "mmmodal"

    text_config: Any = None
    modality_names: list[str] = field(default_factory=list)
    token_count: int | None = None
    """The number of tokens; further embedding rows are padding. None in older files.

    `resize_token_embeddings` sets it."""

    reads_padding: bool = False
    """Whether padding in front of a prompt changes its answer, as the language model does not
    use the attention mask everywhere (RWKV, xLSTM, RecurrentGemma)."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Return a configuration of config.json without the settings that it must not decide.

        Raises:
            CheckpointError: the weights beside it are quantized.
        """
        if config_dict.get("quantization_config"):
            raise CheckpointError(
                "config.json is of quantized weights, which are not supported; load the original "
                "model with `quantization`"
            )
        return super().from_dict(without_decisions(config_dict), **kwargs)

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.text_config, dict):
            self.text_config = build_config("text_config", self.text_config)
        self.modality_names = list(self.modality_names)
        for name in self.modality_names:
            for key in MODALITY_KEYS:
                full = f"{name}_{key}"
                if full not in kwargs:
                    raise CheckpointError(
                        f"config.json lacks {full!r}, which modality {name!r} requires"
                    )
                value = kwargs.pop(full)
                if key == "config" and isinstance(value, dict):
                    value = build_config(full, value)
                setattr(self, full, value)
            separator = f"{name}_{SEPARATOR_KEY}"
            setattr(self, separator, kwargs.pop(separator, None))
            if kwargs.pop(f"{name}_{UNTRAINED_KEY}", False):
                self.mark_untrained(name)
        if self.text_config is not None:
            # transformers ties the head according to the top-level flag.
            kwargs["tie_word_embeddings"] = bool(
                getattr(self.text_config, "tie_word_embeddings", False)
            )
        super().__post_init__(**kwargs)

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the values for config.json: sources of parts only if they are on the Hub."""
        values: dict[str, Any] = super().to_diff_dict()
        for name in self.sub_configs:
            part = dict(values[name])
            if not is_hub_id(part.get("_name_or_path")):
                part.pop("_name_or_path", None)  # a folder of this machine
            values[name] = part
        return values

    @property
    def sub_configs(self) -> dict[str, type[PreTrainedConfig]]:
        """The classes of the nested configs, to which transformers applies attention and dtype."""
        names = [f"{name}_config" for name in getattr(self, "modality_names", [])]
        return {
            name: type(value)
            for name in ["text_config", *names]
            if isinstance(value := getattr(self, name, None), PreTrainedConfig)
        }

    @property
    def positions(self) -> int:
        """The maximum number of tokens of the language model; some have no maximum."""
        known = getattr(self.text_config, "max_position_embeddings", None)
        return int(known or sys.maxsize)

    @property
    def recomputes_at(self) -> int | None:
        """The number of tokens at which the language model discards its cache, as Phi-3 does where
        its long positions begin; others never do."""
        return getattr(self.text_config, "original_max_position_embeddings", None)

    def of(self, modality: str, key: str) -> Any:
        """Return `<modality>_<key>`."""
        return getattr(self, f"{modality}_{key}")

    def mark_untrained(self, modality: str, untrained: bool = True) -> None:
        """Record whether a tower has the random weights of its constructor."""
        key = f"{modality}_{UNTRAINED_KEY}"
        if untrained:
            setattr(self, key, True)
        elif hasattr(self, key):
            delattr(self, key)

    def untrained_towers(self) -> list[str]:
        """Return the modalities whose tower has the random weights of its constructor."""
        return [n for n in self.modality_names if getattr(self, f"{n}_{UNTRAINED_KEY}", False)]

    def encoder_of(self, modality: str) -> Encoder:
        """Return the encoder that the configuration names for a modality.

        Raises:
            CheckpointError: the package that provides it is not installed.
        """
        entry = self.of(modality, "config")
        tower_config = None if isinstance(entry, MMModalEncoderConfig) else entry
        return encoder_from({key: getattr(entry, key) for key in PART_KEYS}, tower_config)

    def projector_of(self, modality: str) -> Projector:
        """Return the projector that the configuration names for a modality.

        Raises:
            CheckpointError: the package that provides it is not installed.
        """
        return projector_from(self.of(modality, "projector_config"))

    def never_generated(self) -> list[int]:
        """Return the ids that are no text: markers, slots and embedding rows without a token."""
        rows = self.text_config.vocab_size
        return [
            *self.media_ids(),
            *range(rows if self.token_count is None else self.token_count, rows),
        ]

    def media_ids(self) -> list[int]:
        """Return the ids of all modalities' markers and slots."""
        names = self.modality_names
        return [id_ for n in names for id_ in (*self.learned_ids(n), self.of(n, "token_id"))]

    def learned_ids(self, modality: str) -> list[int]:
        """Return the ids of a modality's learned tokens: begin, end and, with tiles, separator."""
        keys = ("begin_token_id", "end_token_id", SEPARATOR_KEY)
        return [id_ for key in keys if (id_ := self.of(modality, key)) is not None]


def build_config(name: str, values: dict[str, Any]) -> PreTrainedConfig:
    """Return a nested config of config.json, of a registered class only.

    Raises:
        CheckpointError: its `model_type` is unknown.
    """
    model_type = str(values.get("model_type"))
    if model_type == MMModalEncoderConfig.model_type:
        return MMModalEncoderConfig(**values)
    if model_type not in CONFIG_MAPPING:
        raise CheckpointError(
            f"{name} has model_type {model_type!r}, which this version of transformers does not "
            "know; update transformers"
        )
    return CONFIG_MAPPING[model_type](**values)
