"""Build the model without its tensors, on the meta device: tokens, configuration, processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import GenerationConfig

from mmmodal.contracts.converter import Conversion
from mmmodal.conversation.layout import marker_tokens
from mmmodal.errors import PartError
from mmmodal.making.assembly import LoadedModality, add_modality, finish
from mmmodal.model.configuration import MMModalConfig
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.processing import MMModalProcessor

__all__ = ["add_tokens", "build_skeleton"]

SAMPLING = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens")
"""The keys of a checkpoint's generation_config.json that are kept if they are plain numbers."""


def build_skeleton(
    conversion: Conversion, rows: int, dtype: torch.dtype, generation: Mapping[str, Any]
) -> MMModalForConditionalGeneration:
    """Return the model for the converted tensors, without tensors.

    Args:
        conversion: the description of the checkpoint; its tokenizer has all tokens already.
        rows: the number of rows of the embedding matrix.
        dtype: the precision of the tensors.
        generation: the checkpoint's generation settings.
    """
    config = conversion.text_config
    config.vocab_size = rows
    with torch.device("meta"):
        model = MMModalForConditionalGeneration(MMModalConfig(text_config=config))
        model.config.architectures = [MMModalForConditionalGeneration.__name__]
        model.config.dtype = dtype
        model.processor = MMModalProcessor(conversion.tokenizer)
        model.generation_config = _generation(config, generation)
        for modality in conversion.modalities:
            addition, markup = modality.addition, modality.markup
            width = model.model.width
            add_modality(model, LoadedModality.of(addition, width, filled=False, markup=markup))
    return finish(model)


def _generation(config: Any, given: Mapping[str, Any]) -> GenerationConfig:
    chosen = {key: given[key] for key in SAMPLING if isinstance(given.get(key), int | float)}
    ends = given.get("eos_token_id")
    if not (isinstance(ends, int) or (isinstance(ends, list) and ends)):
        ends = config.eos_token_id
    return GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=ends, **chosen)


def add_tokens(conversion: Conversion, source: str) -> None:
    """Add the missing slot tokens to the tokenizer of a checkpoint.

    Raises:
        PartError: it lacks a marker that the model was trained with.
    """
    for modality in conversion.modalities:
        known = conversion.tokenizer.get_added_vocab()
        slot = modality.markup.slot
        for token in marker_tokens(modality.markup, False):
            if token not in known and token != slot:
                raise PartError(
                    f"{source}: its tokenizer lacks {token!r}, the marker around each "
                    f"{modality.addition.modality.name} in training; the vocabulary belongs to "
                    "another model"
                )
        if slot not in known:
            new = AddedToken(slot, special=True, normalized=False)
            conversion.tokenizer.add_tokens([new], special_tokens=True)
