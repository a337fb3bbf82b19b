"""The config and the tokenizer of a checkpoint's language model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmmodal import pretrained
from mmmodal.errors import CheckpointError, PartError
from mmmodal.utf8 import NotUtf8Error, read_text

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

__all__ = ["causal_config", "fast_tokenizer"]

GENERAL = ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")
ROPE = ("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor")
"""Fields of older versions of transformers, which it converts to its current ones."""

NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


def causal_config(values: Mapping[str, Any], where: str) -> PreTrainedConfig:
    """Return a causal language model's config with only the fields of its architecture.

    All other values of a file, such as an attention implementation or a class to import, are left
    out.

    Raises:
        PartError: transformers has no such causal language model.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    model_type = str(values.get("model_type"))
    if (
        model_type not in CONFIG_MAPPING
        or CONFIG_MAPPING[model_type] not in MODEL_FOR_CAUSAL_LM_MAPPING
    ):
        raise PartError(
            f"{where}: transformers has no causal language model of model_type {model_type!r}"
        )
    kind = CONFIG_MAPPING[model_type]
    known = {*_own_fields(kind), *GENERAL, *ROPE}
    chosen = {key: values[key] for key in values if key in known}
    return pretrained.make_config(kind, chosen, model_type, where)


def _own_fields(kind: type[PreTrainedConfig]) -> set[str]:
    from transformers import PreTrainedConfig

    names = {field.name for field in dataclasses.fields(kind)}
    general = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    return {name for name in names - general if not name.startswith("_")}


def fast_tokenizer(source: str, chat_template: str | None) -> PreTrainedTokenizerBase:
    """Return `tokenizer.json` unchanged as a tokenizer; transformers' classes rebuild parts of it.

    Raises:
        PartError: it is missing or damaged, has no end token or chat template, or
            `tokenizer_config.json` belongs to another model.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = pretrained.find_file(source, "tokenizer.json")
    if path is None:
        raise PartError(f"{source}: it has no tokenizer.json")
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception:  # tokenizers raises plain Exception
        raise PartError(f"{source}: tokenizer.json is damaged; download it again") from None
    settings = pretrained.read_json(source, "tokenizer_config.json") or {}
    template = chat_template or _template(source, settings)
    if template is None:
        raise PartError(
            f"{source}: its tokenizer has no chat template; give a Jinja file with "
            "--chat-template FILE, or a Jinja text as `chat_template=`"
        )
    named = _named_tokens(source, settings, backend)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    tokenizer.chat_template = template
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _named_tokens(source: str, settings: Mapping[str, Any], backend: Any) -> dict[str, str]:
    named = {}
    for key in NAMED_TOKENS:
        value = settings.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if not isinstance(text, str):
            continue
        if backend.token_to_id(text) is None:
            raise PartError(
                f"{source}: tokenizer_config.json names {text!r} as {key}, which tokenizer.json "
                "does not have; the two files belong to different models"
            )
        named[key] = text
    if "eos_token" not in named:
        hint = "set eos_token in tokenizer_config.json"
        raise PartError(f"{source}: its tokenizer has no end token; {hint}")
    return named


def _template(source: str, settings: Mapping[str, Any]) -> str | None:
    """Return the chat template from one of the three places where transformers stores it."""
    path = pretrained.find_file(source, "chat_template.jinja")
    if path is not None:
        try:
            return read_text(path)
        except NotUtf8Error as error:
            raise CheckpointError(f"{path}: {error}; save it as UTF-8") from None
    both = pretrained.read_json(source, "chat_template.json") or {}
    for value in (both.get("chat_template"), settings.get("chat_template")):
        several = value if isinstance(value, list) else [{"name": "default", "template": value}]
        for item in several:
            if item.get("name") == "default" and isinstance(item.get("template"), str):
                return str(item["template"])
    return None
