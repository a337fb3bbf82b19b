"""The presets are found by name and say what transformers makes of their published configs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mmmodal.contracts import Backbone
from mmmodal.plugins import registry
from mmmodal_backbones import BACKBONES
from worlds import ROOT

BY_NAME = {backbone.name: backbone for backbone in BACKBONES}

# model_type, vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
# num_key_value_heads, head_dim where it is set, tie_word_embeddings
CONFIGS: dict[str, tuple[str, int, int, int, int, int, int, int | None, bool]] = {
    "gemma-2-2b": ("gemma2", 256_000, 2304, 9216, 26, 8, 4, 256, True),
    "gemma-2-9b": ("gemma2", 256_000, 3584, 14336, 42, 16, 8, 256, True),
    "gemma-3-1b": ("gemma3_text", 262_144, 1152, 6912, 26, 4, 1, 256, True),
    "granite-3.3-2b": ("granite", 49_159, 2048, 8192, 40, 32, 8, None, True),
    "granite-3.3-8b": ("granite", 49_159, 4096, 12800, 40, 32, 8, None, True),
    "llama-3.1-8b": ("llama", 128_256, 4096, 14336, 32, 32, 8, None, False),
    "llama-3.2-1b": ("llama", 128_256, 2048, 8192, 16, 32, 8, 64, True),
    "llama-3.2-3b": ("llama", 128_256, 3072, 8192, 28, 24, 8, 128, True),
    "malaysian-mistral-7b-32k": ("mistral", 32_000, 4096, 14336, 32, 32, 8, None, False),
    "malaysian-qwen1.5-0.5b-16k": ("qwen2", 151_936, 1024, 2816, 24, 16, 16, None, True),
    "malaysian-tinyllama-1.1b-16k": ("llama", 32_000, 2048, 5632, 22, 32, 4, None, False),
    "mistral-7b": ("mistral", 32_000, 4096, 14336, 32, 32, 8, None, False),
    "mistral-7b-v0.1": ("mistral", 32_000, 4096, 14336, 32, 32, 8, None, False),
    "mistral-7b-v0.3": ("mistral", 32_768, 4096, 14336, 32, 32, 8, None, False),
    "phi-3.5-mini": ("phi3", 32_064, 3072, 8192, 32, 32, 32, None, False),
    "phi-4-mini": ("phi3", 200_064, 3072, 8192, 32, 24, 8, None, True),
    "qwen1.5-0.5b": ("qwen2", 151_936, 1024, 2816, 24, 16, 16, None, True),
    "qwen2.5-0.5b": ("qwen2", 151_936, 896, 4864, 24, 14, 2, None, True),
    "qwen2.5-1.5b": ("qwen2", 151_936, 1536, 8960, 28, 12, 2, None, True),
    "qwen2.5-3b": ("qwen2", 151_936, 2048, 11008, 36, 16, 2, None, True),
    "qwen2.5-7b": ("qwen2", 152_064, 3584, 18944, 28, 28, 4, None, False),
    "qwen3-0.6b": ("qwen3", 151_936, 1024, 3072, 28, 16, 8, 128, True),
    "qwen3-1.7b": ("qwen3", 151_936, 2048, 6144, 28, 16, 8, 128, True),
    "qwen3-4b": ("qwen3", 151_936, 2560, 9728, 36, 32, 8, 128, True),
    "qwen3-8b": ("qwen3", 151_936, 4096, 12288, 36, 32, 8, 128, False),
    "smollm2-135m": ("llama", 49_152, 576, 1536, 30, 9, 3, None, True),
    "smollm2-360m": ("llama", 49_152, 960, 2560, 32, 15, 5, None, True),
    "smollm2-1.7b": ("llama", 49_152, 2048, 8192, 24, 32, 32, None, True),
    "smollm3-3b": ("smollm3", 128_256, 2048, 11008, 36, 16, 4, None, True),
    "tinyllama-1.1b": ("llama", 32_000, 2048, 5632, 22, 32, 4, None, False),
}
"""The published dimensions of each preset."""


def parameters_of(name: str, layers: int) -> int:
    """Count the parameters of a preset's architecture with so many layers; nothing is stored."""
    kind, vocabulary, width, inner, _, heads, key_values, head_dim, tied = CONFIGS[name]
    values: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_values,
        "tie_word_embeddings": tied,
        "pad_token_id": 0,
        **({"head_dim": head_dim} if head_dim else {}),
    }
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **values))
    if tied:
        model.tie_weights()
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", BY_NAME)
def test_a_card_tells_the_parameters_that_transformers_counts(name: str) -> None:
    one, two = parameters_of(name, 1), parameters_of(name, 2)  # all layers are alike
    card = BY_NAME[name].card
    assert card is not None
    assert card.parameters == one + (CONFIGS[name][4] - 1) * (two - one)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.name)
def test_every_preset_is_found_by_its_name(backbone: type[Backbone]) -> None:
    found = registry().get("backbones", backbone.name)
    assert found is not None
    assert (found.part, found.package) == (backbone, "mmmodal-backbones")


def test_every_preset_names_a_repository_of_its_own() -> None:
    sources = [backbone.source or "" for backbone in BACKBONES]
    assert all(len(source.split("/")) == 2 for source in sources)
    assert len(set(sources)) == len(sources) == len(BY_NAME)


def test_the_papers_models_are_there() -> None:
    assert {"qwen1.5-0.5b", "tinyllama-1.1b", "mistral-7b"} <= set(BY_NAME)
    assert sum(name.startswith("malaysian-") for name in BY_NAME) == 3


def test_a_size_in_a_name_is_that_of_the_card() -> None:
    for name, backbone in BY_NAME.items():
        assert backbone.card is not None
        size = next(
            (part for part in name.split("-") if part[-1] in "bm" and part[0].isdigit()), None
        )
        if size is not None:
            told = float(size[:-1]) * (1e9 if size[-1] == "b" else 1e6)
            assert abs(backbone.card.parameters / told - 1) < 0.35, name


def test_the_readme_lists_every_preset() -> None:
    text = (ROOT / "packages/backbones/README.md").read_text(encoding="utf-8")
    for backbone in BACKBONES:
        card = backbone.card
        assert card is not None
        told = (
            f"{card.parameters / 1e9:.2f} B | {card.positions:,} | {card.licence or 'see the Hub'}"
        )
        assert f"| `{backbone.name}` | {backbone.source} | {told} |" in text
