"""Select the attention implementation of the language model, and check that it can run."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

from mmmodal.config import suggest
from mmmodal.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Attention", "check_attention", "use_attention"]

Attention = Literal["eager", "sdpa", "flash_attention_2", "flex_attention", "varlen"]

SUPPORT = {
    "sdpa": "_supports_sdpa",
    "flash_attention_2": "_supports_flash_attn",
    "flex_attention": "_supports_flex_attn",
}
"""The flags of transformers' classes for supported attention; all classes support `eager`."""


def check_attention(name: str) -> None:
    """Check an attention implementation before a model is loaded.

    Raises:
        ConfigError: it is unknown, or cannot run on this machine.
    """
    known = get_args(Attention)
    if name not in known:
        raise _refused(f"{name!r} is unknown{suggest(name, known)}")
    if name == "flash_attention_2":
        _check_flash()
    if name == "flex_attention":
        from transformers.utils.import_utils import is_torch_flex_attn_available

        if not is_torch_flex_attn_available():
            raise _refused("flex_attention is not in this version of torch; use sdpa")


def use_attention(model: MMModalForConditionalGeneration, name: str) -> None:
    """Set the attention of the language model; the towers keep transformers' choice.

    Raises:
        ConfigError: it cannot run on this machine, or the language model does not support it.
    """
    check_attention(name)
    language: PreTrainedModel = model.get_decoder()  # type: ignore[assignment]
    if name == "varlen":
        _check_varlen(language)
    if not getattr(language, SUPPORT.get(name, ""), True):
        others = [other for other, flag in SUPPORT.items() if getattr(language, flag, False)]
        known = " or ".join(["eager", *others])
        raise _refused(f"{type(language).__name__} does not support {name}; use {known}")
    language.set_attn_implementation(name)
    if language.config._attn_implementation != name:
        raise _refused(f"{type(language).__name__} supports only its own; leave out the setting")
    for config in (model.config, model.config.text_config):
        config._attn_implementation_internal = name


def _check_flash() -> None:
    import torch

    if not torch.cuda.is_available():
        raise _refused("flash_attention_2 needs a GPU, but there is none; use sdpa")
    if find_spec("flash_attn") is None and find_spec("kernels") is None:
        raise _refused(
            "flash_attention_2 needs the package flash-attn or kernels: pip install kernels, or "
            "use sdpa"
        )


def _check_varlen(language: PreTrainedModel) -> None:
    from mmmodal.model.varlen import supports_varlen

    if not supports_varlen(language):
        raise _refused(f"{type(language).__name__} does not support varlen; use sdpa or eager")


def _refused(reason: str) -> ConfigError:
    return ConfigError("attn_implementation", [reason])
