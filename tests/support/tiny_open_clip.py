"""A tiny SigLIP of open_clip: a trunk that timm knows by name, and files in open_clip's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_config_for_hf
from open_clip.transform import PreprocessCfg
from safetensors.torch import save_file
from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, _cfg, _create_vision_transformer

__all__ = ["EXACT", "TANH", "model_config", "model_of", "write"]

EXACT, TANH = "vit_tiny_patch8_siglip_32", "vit_tiny_patch8_siglip_tanh_32"
SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}

default_cfgs = generate_default_cfgs(
    {name: _cfg(input_size=(3, 32, 32), num_classes=0) for name in (EXACT, TANH)}
)


@register_model
def vit_tiny_patch8_siglip_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    settings = {**SIZES, "class_token": False, "global_pool": "map", **kwargs}
    return _create_vision_transformer(EXACT, pretrained=pretrained, **settings)


@register_model
def vit_tiny_patch8_siglip_tanh_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    settings = {**SIZES, "class_token": False, "global_pool": "map", "act_layer": "gelu_tanh"}
    return _create_vision_transformer(TANH, pretrained=pretrained, **{**settings, **kwargs})


def model_config(trunk: str = EXACT, image_size: int = 32, width: int = 32) -> dict[str, Any]:
    """Return open_clip's config of a model with that image tower and a minimal text tower."""
    vision = {"image_size": image_size, "timm_model_name": trunk, "timm_model_pretrained": False}
    return {
        "embed_dim": width,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {**vision, "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1},
    }


def model_of(config: dict[str, Any], preprocess: dict[str, Any] | None = None) -> Any:
    """Return open_clip's own model with random weights, none of them zero or one."""
    siglip = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CustomTextCLIP(
            **{key: value for key, value in config.items() if key != "custom_text"}
        ).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
    size = {"size": config["vision_cfg"]["image_size"]}
    settings = {**vars(PreprocessCfg()), **siglip, **size, **(preprocess or {})}
    set_model_preprocess_cfg(model, settings)
    return model


def write(
    folder: Path,
    config: dict[str, Any],
    preprocess: dict[str, Any] | None = None,
    *,
    weights: str = "open_clip_model.safetensors",
) -> Any:
    """Write a folder in open_clip's form for the Hub; return its model."""
    model = model_of(config, preprocess)
    folder.mkdir(parents=True, exist_ok=True)
    save_config_for_hf(model, folder / "open_clip_config.json", config)
    if weights.endswith(".safetensors"):
        save_file(model.state_dict(), folder / weights)
    else:
        torch.save(model.state_dict(), folder / weights)
    return model
