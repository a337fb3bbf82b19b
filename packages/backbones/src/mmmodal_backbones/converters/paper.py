"""Convert the paper's published models: `model_type: mm_llms` (github mesolitica/multimodal-LLM).

The conversion keeps the form of their training: the chat template is the tokenizer's; a picture or
clip is written `<image> </image>`, with its features after the begin marker and single spaces
around it; a clip always takes all 30 s of a window; features are those of `hidden_states[-2]`.

Two errors of their code are not reproduced, so that results agree for single conversations, but not
for padded batches. It sets the attention mask to one over the padding of each row with a medium. In
training mode it masks the first positions of a row, where training put an empty picture and clip
before each text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mmmodal.authoring.parts import (
    ComposedCheckpoint,
    Conversion,
    ConvertedModality,
    Converter,
    Markup,
    Part,
    PartError,
    addition_of,
)

__all__ = ["Paper"]

CONFIG_KEYS = {"image": "image_config", "audio": "audio_config"}
"""The key of the config of each modality's encoder; variants for one modality lack the other."""


class Paper(Converter):
    """Convert models of all sizes, for pictures, for sound, or for both."""

    name: ClassVar[str] = "paper"
    shape: ClassVar[str] = "a config.json with model_type 'mm_llms'"

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Return whether the model type is that of the paper."""
        return config.get("model_type") == "mm_llms"

    def read(self, source: ComposedCheckpoint, chat_template: str | None) -> Conversion:
        """Return the parts; the configs determine the encoders."""
        readers = {"image": _image, "audio": _audio}
        found = [key for key, name in CONFIG_KEYS.items() if source.config.get(name) is not None]
        if not found:
            wanted = " nor ".join(CONFIG_KEYS.values())
            raise PartError(
                f"{source.source}: config.json has neither {wanted}: there is no encoder"
            )
        return Conversion(
            text_config=source.text_config("llm_config"),
            tokenizer=source.tokenizer(chat_template),
            modalities=tuple(readers[name](source) for name in found),
            language_model=("llm.model.",),
            head=("llm.lm_head.",),
        )


def _image(source: ComposedCheckpoint) -> ConvertedModality:
    layer = source.config.get("vision_select_layer")
    # Without a layer their code uses the normalised output of the last one.
    layers = {"select_layer": -1, "post_norm": True} if layer is None else {"select_layer": layer}
    options = {**layers, "resizer": "pillow"}  # the only one in transformers at that time
    part = Part(name="siglip", options=options)
    return _modality(source, "image", part, "mlp", "image_mean", "image_encoder.vision_model.")


def _audio(source: ComposedCheckpoint) -> ConvertedModality:
    options = {"select_layer": source.config.get("audio_select_layer", -2), "length": "full"}
    part = Part(name="whisper", options=options)
    return _modality(source, "audio", part, "conv", "hop_length", "audio_encoder.encoder.")


def _modality(
    source: ComposedCheckpoint, name: str, part: Part, projector: str, setting: str, weights: str
) -> ConvertedModality:
    """Return the parts of a modality; `setting` is a key that its preprocessor's file must have."""
    config = _of_type(source, name, part.name)
    settings = source.json("preprocessor_config.json")
    # In models for both modalities the audio processor has overwritten this file.
    settings = settings if setting in settings else {}
    with source.as_checkpoint(config, settings) as folder:
        addition = addition_of(name, part.model_copy(update={"source": folder}), projector)
    return ConvertedModality(addition, _markup(name), (weights,), (f"{name}_projector.",))


def _markup(name: str) -> Markup:
    return Markup(slot=f"<|{name}|>", begin=f"<{name}>", end=f"</{name}>", spaced=True)


def _of_type(source: ComposedCheckpoint, name: str, model_type: str) -> dict[str, Any]:
    """Return an encoder's config; the published models have one type for each modality."""
    config = source.part_config(CONFIG_KEYS[name])
    found = config.get("model_type")
    if found != model_type:
        raise PartError(
            f"{source.source}: its {name} encoder is {found!r}; only {model_type!r} is supported"
        )
    return config
