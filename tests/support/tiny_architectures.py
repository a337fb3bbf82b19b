"""Tiny random language models of the architectures of all presets, and of two special ones.

They have the special properties of their architectures: windows shorter than the prompts of tests,
capped and scaled logits, multiplied embeddings, layers without positions, positions that change
with the length.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from mmmodal_playground.tiny_language import tiny_language_model

WINDOW = 24
"""The number of tokens of a sliding window."""

SWITCH = 64
"""The number of tokens from which Phi-3 uses its long positions."""

LLAMA3_POSITIONS = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

PHI3_POSITIONS = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 8,
    "long_factor": [1.0 + i for i in range(8)],
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
    "llama": {"rope_parameters": LLAMA3_POSITIONS},
    "mistral": {"sliding_window": WINDOW},
    "gemma2": {
        "head_dim": 16,
        "query_pre_attn_scalar": 8,
        "sliding_window": WINDOW,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 1.5,
    },
    "gemma3_text": {
        "head_dim": 16,
        "query_pre_attn_scalar": 8,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "phi3": {
        "rope_parameters": PHI3_POSITIONS,
        "original_max_position_embeddings": SWITCH,
        "max_position_embeddings": 2048,
    },
    "smollm3": {"no_rope_layers": [1, 0], "tie_word_embeddings": True},
    "phi": {"num_key_value_heads": 4},
    "granite": {
        "embedding_multiplier": 3.0,
        "logits_scaling": 7.0,
        "residual_multiplier": 0.3,
        "attention_multiplier": 0.2,
    },
}
"""The settings of each config besides its sizes."""

TALKS_LIKE = {"mistral": "mistral", "gemma2": "llama", "gemma3_text": "llama", "phi3": "llama"}
"""The family of each tokenizer and chat template; others use Qwen2's."""

PRESETS = {
    "gemma-2": "gemma2",
    "gemma-3": "gemma3_text",
    "granite": "granite",
    "llama": "llama",
    "mistral": "mistral",
    "phi-3": "phi3",
    "phi-4": "phi3",
    "qwen": "qwen2",
    "qwen3": "qwen3",
    "smollm2": "llama",
    "smollm3": "smollm3",
    "tinyllama": "llama",
}
"""The architecture of presets, by the prefixes of their names."""


def architecture_of(preset: str) -> str:
    """Return the architecture of a preset."""
    name = preset.removeprefix("malaysian-")
    return PRESETS[max((start for start in PRESETS if name.startswith(start)), key=len)]


def tiny_causal(
    folder: Path, architecture: str, *, spare_rows: int = 0, **more: Any
) -> PreTrainedModel:
    """Write a random language model with tokenizer to `folder`, and return it.

    Args:
        folder: the folder to write.
        architecture: one of `ARCHITECTURES`.
        spare_rows: the number of embedding rows without a token, as in Qwen.
        more: further settings of its config.
    """
    tiny_language_model(folder, TALKS_LIKE.get(architecture, "qwen2"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = _random(architecture, {**_sizes(tokenizer, spare_rows), **more})
    model.save_pretrained(folder)
    return model


def _sizes(tokenizer: Any, spare_rows: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer) + spare_rows,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.1,  # with the usual 0.02 all tokens have similar probabilities
    }


def _random(architecture: str, sizes: Mapping[str, Any]) -> PreTrainedModel:
    config = AutoConfig.for_model(architecture, **{**sizes, **ARCHITECTURES[architecture]})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        bias = getattr(model.get_output_embeddings(), "bias", None)
        if bias is not None:
            torch.nn.init.normal_(bias)
    model.eval()
    return model
