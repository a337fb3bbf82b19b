"""The precision of a model in memory: names of dtypes, and quantization with bitsandbytes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from mmmodal.config import suggest
from mmmodal.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["Quantization", "check_quantization", "quantized", "read_dtype"]

Quantization = Literal["4bit", "8bit"]

WORDS = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}


def read_dtype(value: str | torch.dtype) -> Any:
    """Return torch's dtype for a name such as `bf16` or `bfloat16`; return `auto` unchanged.

    Raises:
        ConfigError: the name is not that of a floating-point dtype for models.
    """
    import torch

    if value == "auto" or value in (torch.float32, torch.bfloat16, torch.float16):
        return value
    word = str(value).removeprefix("torch.")
    if word not in WORDS:
        raise ConfigError("dtype", [f"{word!r} is unknown{suggest(word, ['auto', *WORDS])}"])
    return getattr(torch, WORDS[word])


def check_quantization(choice: str) -> None:
    """Check a quantization before a model is loaded.

    Raises:
        ConfigError: it is unknown, or bitsandbytes is not installed.
    """
    if choice not in get_args(Quantization):
        hint = suggest(choice, get_args(Quantization))
        raise ConfigError("quantization", [f"{choice!r} is unknown{hint}"])
    if find_spec("bitsandbytes") is None:
        needed = "it needs bitsandbytes: pip install 'mmmodal-core[quantization]'"
        raise ConfigError("quantization", [needed])


def quantized(choice: str, modalities: Sequence[str], compute: Any) -> Any:
    """Return transformers' settings for a model whose language model is quantized to 4 or 8 bits.

    4 bits means NF4 with quantized constants, as in QLoRA (https://arxiv.org/abs/2305.14314).
    Towers, projectors and the head are not quantized.

    Args:
        choice: `4bit` or `8bit`.
        modalities: the modalities of the model.
        compute: the precision of multiplications.
    """
    from transformers import BitsAndBytesConfig

    check_quantization(choice)
    whole = [f"model.{name}_{part}" for name in modalities for part in ("tower", "projector")]
    kept = ["lm_head", *whole]
    if choice == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=kept,
    )
