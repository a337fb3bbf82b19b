"""Convert LLaVA in transformers' format (`model_type: llava`), with SigLIP of fixed resolution.

An image is written as its slots only: LLaVA has no markers around them.
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

__all__ = ["Llava"]

TOWERS = ("siglip_vision_model", "siglip")

TEXT_PARTS = (
    "{%- set turns = namespace(all=[]) -%}{%- for message in messages -%}"
    "{%- set part = {'type': 'text', 'text': message['content']} -%}"
    "{%- set turns.all = turns.all + [dict(message, content=[part])] -%}{%- endfor -%}"
    "{%- set messages = turns.all -%}"
)
"""Code in front of a template that requires lists of parts: it makes each message a text part."""


class Llava(Converter):
    """Convert LLaVA 1.5 and similar models, but not LLaVA-NeXT, which cuts pictures into tiles."""

    name: ClassVar[str] = "llava"
    shape: ClassVar[str] = "a config.json with model_type 'llava'"

    def matches(self, config: Mapping[str, Any]) -> bool:
        """Return whether the model type is LLaVA's."""
        return config.get("model_type") == "llava"

    def read(self, source: ComposedCheckpoint, chat_template: str | None) -> Conversion:
        """Return the parts, with the prefixes of transformers 5 and of older versions."""
        _check(source)
        tokenizer = source.tokenizer(chat_template)
        tokenizer.chat_template = _for_texts(tokenizer)
        text_config = source.text_config("text_config")
        if source.config.get("tie_word_embeddings") is True:
            text_config.tie_word_embeddings = True
        return Conversion(
            text_config=text_config,
            tokenizer=tokenizer,
            modalities=(_image(source, tokenizer),),
            language_model=("model.language_model.", "language_model.model."),
            head=("lm_head.", "language_model.lm_head."),
        )


def _image(source: ComposedCheckpoint, tokenizer: Any) -> ConvertedModality:
    values = source.config
    # SigLIP has no class token: if LLaVA drops the first feature, it is that of a patch.
    options = {
        "select_layer": values.get("vision_feature_layer", -2),
        "drop_first": values.get("vision_feature_select_strategy", "default") == "default",
    }
    settings = source.json("preprocessor_config.json")
    settings = settings or source.json("processor_config.json").get("image_processor", {})
    with source.as_checkpoint(source.part_config("vision_config"), settings) as folder:
        part = Part(name="siglip", source=folder, options=options)
        addition = addition_of("image", part, "mlp")
    slot = tokenizer.convert_ids_to_tokens(_image_id(source, tokenizer))
    return ConvertedModality(
        addition,
        Markup(slot=slot),
        tower=tuple(
            f"{place}vision_tower.{inner}"
            for place in ("", "model.")
            for inner in ("", "vision_model.")
        ),
        projector=("multi_modal_projector.", "model.multi_modal_projector."),
    )


def _image_id(source: ComposedCheckpoint, tokenizer: Any) -> int:
    id_ = source.config.get("image_token_index", source.config.get("image_token_id", 32000))
    if not isinstance(id_, int) or id_ not in tokenizer.added_tokens_decoder:
        raise PartError(
            f"{source.source}: the image token {id_!r} of config.json is not an added token of "
            "tokenizer.json; the vocabulary belongs to another model"
        )
    return id_


def _check(source: ComposedCheckpoint) -> None:
    """Raise a PartError for a setting that our parts do not support."""
    values = source.config
    tower = source.part_config("vision_config").get("model_type")
    layer = values.get("vision_feature_layer", -2)
    strategy = values.get("vision_feature_select_strategy", "default")
    problem = None
    if tower not in TOWERS:
        problem = f"its vision tower is {tower!r}; only SigLIP is supported"
    elif not isinstance(layer, int):
        problem = f"it joins several layers (vision_feature_layer {layer}); only one is supported"
    elif strategy not in ("default", "full"):
        problem = f"vision_feature_select_strategy {strategy!r} is unknown"
    elif values.get("projector_hidden_act", "gelu") != "gelu":
        problem = f"its projector has {values['projector_hidden_act']!r} between its layers"
    elif values.get("multimodal_projector_bias", True) is not True:
        problem = "its projector has no bias, but projector 'mlp' has one"
    if problem is not None:
        raise PartError(f"{source.source}: {problem}")


def _for_texts(tokenizer: Any) -> str:
    """Return the chat template, changed to accept messages that are texts."""
    template: str = tokenizer.chat_template
    probe = "zqprobezq"
    try:
        written = tokenizer.apply_chat_template(
            [{"role": "user", "content": probe}], tokenize=False
        )
    except Exception:  # a template can raise any error
        written = ""
    return template if probe in written else TEXT_PARTS + template
