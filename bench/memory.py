"""The memory estimate of `mmmodal train --check`, compared with that of training, on the CPU.

    python bench/memory.py [--json FILE] [--only NAME]

Every stage trains for two steps in a separate process (a language model of 6 layers of 256 with a
vocabulary of 16k, pictures of 576 tokens, random weights). The measured value is the kernel's peak
of the process's memory during training, minus its memory after all imports and a tiny stage. It
includes the weights, but not the writing of the result.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

STAGES: dict[str, tuple[str, list[str]]] = {
    "align": ("align", []),
    "align, longer": ("align", ["batch_size=4"]),
    "instruct": ("instruct", []),
    "instruct, checkpointing": ("instruct", ["gradient_checkpointing=true"]),
    "instruct, accumulated": ("instruct", ["accumulation=2"]),
    "instruct, eager": ("instruct", ["attn_implementation=eager"]),
    "lora": ("lora", []),
    "towers": ("instruct", ["train=[projectors, language_model, towers]"]),
}
"""The recipe and its overrides."""

SMALL_MODEL = {"hidden_size": 64, "layers": 2, "rows": 1024}
LARGE_MODEL = {"hidden_size": 256, "layers": 6, "rows": 16384}
GIVEN = ["batch_size=2", "max_steps=2", "epochs=1", "max_tokens=2048", "precision=fp32"]


def build(folder: Path, hidden_size: int, layers: int, rows: int) -> Path:
    """Return a composed model with a vocabulary much larger than that of its tokenizer."""
    import mmmodal
    from mmmodal_playground.tiny import tiny_siglip
    from mmmodal_playground.tiny_language import tiny_language_model

    size = {"hidden_size": hidden_size, "layers": layers, "positions": 4096}
    lm = tiny_language_model(folder / "lm", "llama", **size)
    picture = {"image_size": 192, "patch_size": 8, "hidden_size": 64}
    siglip = tiny_siglip(folder / "siglip", **picture)
    model = mmmodal.compose(backbone=f"auto:{lm}", encoders={"image": f"siglip:{siglip}"})
    model.resize_token_embeddings(rows, mean_resizing=False)
    model.config.text_config.vocab_size = rows
    model.save_pretrained(folder / "model")
    model.processor.save_pretrained(folder / "model")
    return folder / "model"


def write_data(folder: Path) -> Path:
    """Write conversations about one picture each, of two lengths, so that batches are padded."""
    from PIL import Image

    Image.new("RGB", (200, 200), (40, 80, 120)).save(folder / "a.png")
    content = [{"type": "image", "media": 0}, {"type": "text", "text": "What is it?"}]
    with (folder / "data.jsonl").open("w") as file:
        for index in range(16):
            answer = "The first picture shows a red circle. " * (24 if index % 2 else 22)
            row = {
                "id": str(index),
                "messages": [
                    {"role": "user", "content": content},
                    {"role": "assistant", "content": [{"type": "text", "text": answer}]},
                ],
                "media": [{"kind": "image", "uri": "a.png"}],
            }
            file.write(json.dumps(row) + "\n")
    return folder / "data.jsonl"


def recipe_of(name: str, model: Path, data: Path, out: Path) -> Any:
    from mmmodal.train.recipe.recipe import load_recipe

    recipe, changes = STAGES[name]
    return load_recipe(recipe, [f"model={model}", f"data={data}", f"out={out}", *GIVEN, *changes])


def memory_of_this_process(key: str) -> int:
    """Return VmRSS, or its peak VmHWM, in bytes."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def measure(name: str, folder: Path) -> None:
    """Train in this process, and print the memory it took."""
    from mmmodal.train.stage import stage

    data = folder / "data.jsonl"
    stage.run_stage(recipe_of(name, folder / "small/model", data, folder / f"{os.getpid()}-small"))
    write_result, taken = stage._write_result, []

    def write_measured(*args: Any) -> None:
        taken.append(memory_of_this_process("VmHWM"))
        write_result(*args)

    before = memory_of_this_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    with mock.patch.object(stage, "_write_result", write_measured):
        stage.run_stage(
            recipe_of(name, folder / "large/model", data, folder / f"{os.getpid()}-large")
        )
    print(json.dumps(taken[0] - before))


def measured(name: str, folder: Path) -> int:
    """Train in a separate process, which returns freed memory to the system immediately."""
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", name, "--folder", str(folder)],
        env={**os.environ, **settings, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout.splitlines()[-1])


def estimated(name: str, folder: Path) -> int:
    """Return the estimate of `--check`."""
    from mmmodal.train.preflight.preflight import check_recipe

    recipe = recipe_of(name, folder / "large/model", folder / "data.jsonl", folder / "unused")
    memory = check_recipe(recipe).memory
    assert memory is not None
    return memory.total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/memory.json"))
    parser.add_argument("--only", choices=STAGES)
    parser.add_argument("--measure", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.folder)
        return
    rows = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder)
        build(folder / "small", **SMALL_MODEL)
        build(folder / "large", **LARGE_MODEL)
        print(f"{'stage':<26}{'estimated MB':>14}{'measured MB':>14}{'error %':>9}")
        for name in [given.only] if given.only else STAGES:
            said, took = estimated(name, folder), measured(name, folder)
            rows[name] = {"estimated": said, "measured": took, "error": said / took - 1}
            error = 100 * (said / took - 1)
            print(f"{name:<26}{said / 1e6:>14.0f}{took / 1e6:>14.0f}{error:>+9.1f}", flush=True)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
