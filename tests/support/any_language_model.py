"""A tiny random language model of any causal class that the installed transformers has.

The defaults of its config say what there is to shrink; what a family needs besides is in `NEEDS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from mmmodal.testing.languages import tiny_tokenizer

__all__ = ["CONFIGS", "tiny_config", "write_language_model"]

CONFIGS: dict[str, type[PreTrainedConfig]] = {
    config.model_type: config for config in MODEL_FOR_CAUSAL_LM_MAPPING
}
"""The config class of every causal language model, by its type."""

WIDTH, LAYERS, HEADS = 64, 2, 4

SMALL = {
    r"(hidden|embedding|(in|out)put_embedding)_size|d_model|n_embd": WIDTH,
    r"embedding_dim|emb_dim|word_embed_proj_dim|lru_width": WIDTH,
    r".*intermediate_size(_mlp)?|(.*_)?ffn_dim|dff|dim_ff|d_inner|.*ffn_hidden_size": 96,
    r"feed_forward_size": 96,
    r"(num|n|decoder|encoder|num_hidden|num_encoder|num_decoder)_layers?|num_blocks": LAYERS,
    r"(n|num|attention|.*_attention|linear_num_(key|value)|mamba_n|mamba_num|linear_num)_heads?": 4,
    r"index_n_heads": 4,
    r"num_(key_value|kv)_heads|swa_num_key_value_heads|num_query_groups": 2,
    r"rotary_dim": 8,
    r"(?!qk_head_dim|attention_head_dim)(.*_)?head_dim|d_head|dim_head|kv_channels|attention_head_size|(mamba_)?d_head": 16,
    r"mamba_(head_?dim|d_head)|index_head_dim": 16,
    r".*(lora_rank|_rank|lowrank)": 16,
    r"(n_routed|num|num_local|moe_num)_experts": 4,
    r"num_experts_per_tok(en)?|moe_(topk|k)|top_k_experts": 2,
    r"n_group|topk_group|num_expert_group|n_groups|mamba_n_?groups": 1,
    r"(mamba_d|ssm)_state(_size)?|state_size": 8,
    r"model_max_length": 1024,
    r"(mamba_)?chunk_size": 16,
    r"(sliding|attention)_window(_size)?|local_attention": 24,
    r"vocab_size_per_layer_input": 1024,
    r"hidden_size_per_layer_input": 16,
    r"(n_shared|num_shared|moe_num_shared)_experts": 1,
}
"""The greatest values of sizes, by patterns of their whole names."""

POSITIONS = r"max_(position_embeddings|target_positions|seq_len)|n_positions|n_ctx|context_length"

UNSET = {
    "num_key_value_heads": HEADS,
    "head_dim": WIDTH // HEADS,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "n_routed_experts": 4,
}
"""The values of sizes that a config leaves open."""

ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 16}  # heads fill twice the width

NEEDS: dict[str, dict[str, Any]] = {
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE}},
    "cpmant": {"prompt_types": 1, "prompt_length": 4, "segment_types": 4},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": WIDTH, "ffn_hidden_size": 96, "moe_top_k": 2},
    },
    "dots1": {"n_shared_experts": 1},
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 128},
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
        "activation_sparsity_pattern": [0.0, 0.0],
        "num_hidden_layers": 2,
        "intermediate_size": [96, 96],
    },
    "granitemoehybrid": {**MAMBA, "layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8},
    "qwen4_exp_text": {
        "indexer_budget": 16,
        "indexer_compress_ratio": 4,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"is_decoder": True, "axial_pos_embds": False, "attn_layers": ["local", "lsh"]},
    "rwkv": {"attention_hidden_size": WIDTH},
    "xlstm": {"qk_dim_factor": 1.0},
    "zamba": {
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
    },
}
"""What the sizes alone leave wrong: layers of each kind, widths that follow from others."""


def tiny_config(model_type: str, ids: Mapping[str, int | None], **more: Any) -> PreTrainedConfig:
    """Return the config of a tiny model of a type.

    Args:
        model_type: a key of `CONFIGS`.
        ids: the special ids and `vocab_size` of its tokenizer.
        more: further settings.
    """
    kind = CONFIGS[model_type]
    return kind(**{**_shrunk(kind, ids), **NEEDS.get(model_type, {}), **more})


def _shrunk(kind: type[PreTrainedConfig], ids: Mapping[str, int | None]) -> dict[str, Any]:
    usual = kind()
    values = {**ids, **_layers(usual)}
    for name, value in usual.to_dict().items():
        if name in values or isinstance(value, bool):
            continue
        if value is None and name in UNSET:
            values[name] = UNSET[name]
        if re.fullmatch(POSITIONS, name) and isinstance(value, int):
            values[name] = 1024
        elif isinstance(value, int) and (small := _small(name)) is not None:
            values[name] = min(value, small) if value > 0 else value
        if name == "num_key_value_heads" and value == getattr(usual, "num_attention_heads", None):
            values[name] = HEADS
        if isinstance(value, dict) and name in kind.sub_configs:
            part = type(getattr(usual, name))
            values[name] = _shrunk(part, ids)
    return values


def _small(name: str) -> int | None:
    return next((size for rule, size in SMALL.items() if re.fullmatch(rule, name)), None)


def _layers(usual: PreTrainedConfig) -> dict[str, Any]:
    """Return settings with a layer of each kind that the usual config has, at most four."""
    count = getattr(usual, "num_hidden_layers", None)
    lists = {
        name: value
        for name, value in usual.to_dict().items()
        if isinstance(value, list) and len(value) == count
    }
    if not lists:
        return {}
    rows = list(zip(*lists.values(), strict=True))
    kept = sorted({row: place for place, row in reversed(list(enumerate(rows)))}.values())[:4]
    kept = kept if len(kept) > 1 else [0, 1]
    return {
        "num_hidden_layers": len(kept),
        **{name: [value[place] for place in kept] for name, value in lists.items()},
    }


def write_language_model(folder: Path, model_type: str, **more: Any) -> PreTrainedModel:
    """Write a random language model of a type, with tokenizer and template, and return it."""
    tokenizer = tiny_tokenizer("qwen1.5")
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.eos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = tiny_config(model_type, ids, **more)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # some begin as zero, and hide what they belong to
            parameter.data += 0.02 * torch.randn_like(parameter)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
