"""Generation of a composed model, compared with its bare language model on the same embeddings.

    python bench/generation.py [--quick] [--json FILE]

Both share all weights, generate the same tokens greedily, and run alternately in one process. The
figures are medians; the share is the composed model's tokens per second divided by the bare one's.
The last column is the composed model from a conversation, encoding its picture each time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import mmmodal
from mmmodal_playground.tiny import tiny_siglip
from mmmodal_playground.tiny_language import tiny_language_model

ARCHITECTURES = {  # tokens of the vocabulary, width, layers
    "llama": (32_000, 512, 8),
    "qwen2": (151_000, 384, 8),
    "gemma2": (64_000, 384, 8),
}


def write_language_model(folder: Path, architecture: str) -> Path:
    """Write a random language model whose tokenizer has the size of real ones."""
    tokens, width, layers = ARCHITECTURES[architecture]
    tiny_language_model(folder, "qwen2" if architecture == "qwen2" else "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"token{i}" for i in range(tokens - len(tokenizer))])
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=width // 8,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def build(folder: Path, architecture: str) -> tuple[Any, Any]:
    """Return the composed model and a bare one of the same modules."""
    torch.manual_seed(0)
    language_model = write_language_model(folder / "lm", architecture)
    siglip = tiny_siglip(folder / "siglip", image_size=192, patch_size=8, hidden_size=64)
    composed: Any = mmmodal.compose(
        backbone=f"auto:{language_model}", encoders={"image": f"siglip:{siglip}"}
    )
    bare: Any = AutoModelForCausalLM.from_config(composed.config.text_config).eval()
    setattr(bare, bare.base_model_prefix, composed.model.language_model)
    bare.set_output_embeddings(composed.lm_head)
    return composed, bare


def prompt_of(composed: Any) -> tuple[Any, Tensor]:
    """Return a conversation with a picture of 576 slots, as a batch and as embeddings [1, T, D]."""
    content = [
        {"type": "image", "image": Image.new("RGB", (200, 200), "red")},
        {"type": "text", "text": "What is in this picture?"},
    ]
    batch = composed.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
    )
    seen: list[Tensor] = []
    hook = composed.model.language_model.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        composed(**batch)
    hook.remove()
    return batch, seen[0]


def compare(architecture: str, tokens: int, runs: int) -> dict[str, float]:
    """Return the speeds of the three ways, which run alternately."""
    with tempfile.TemporaryDirectory() as folder:
        composed, bare = build(Path(folder), architecture)
    batch, embeddings = prompt_of(composed)
    never = composed.config.never_generated()
    settings: dict[str, Any] = {
        "max_new_tokens": tokens,
        "min_new_tokens": tokens,
        "do_sample": False,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    given = {"inputs_embeds": embeddings, "attention_mask": batch["attention_mask"]}
    ways: dict[str, Callable[[], Tensor]] = {
        "bare": lambda: bare.generate(**given, **settings),
        "composed": lambda: composed.generate(**given, **settings),
        "conversation": lambda: composed.generate(**batch, **settings)[:, -tokens:],
    }
    answers = {name: way() for name, way in ways.items()}  # also a warm-up
    assert not set(answers["bare"].flatten().tolist()) & set(never)
    assert all(torch.equal(answer, answers["bare"]) for answer in answers.values())
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            rates[name].append(tokens / (time.perf_counter() - start))
    shares = [ours / theirs for ours, theirs in zip(rates["composed"], rates["bare"], strict=True)]
    middle = {f"{name}_per_s": statistics.median(values) for name, values in rates.items()}
    return {**middle, "share": statistics.median(shares)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/generation.json"))
    parser.add_argument("--quick", action="store_true", help="fewer tokens and runs")
    arguments = parser.parse_args()
    tokens, runs = (16, 3) if arguments.quick else (64, 9)
    results = {}
    print(f"{'tokens per second':<20}{'bare':>8}{'composed':>10}{'share':>8}{'conversation':>14}")
    for name in ARCHITECTURES:
        results[name] = row = compare(name, tokens, runs)
        figures = f"{row['bare_per_s']:>8.1f}{row['composed_per_s']:>10.1f}{row['share']:>8.3f}"
        print(f"{name:<20}{figures}{row['conversation_per_s']:>14.1f}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
