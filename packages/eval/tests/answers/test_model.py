"""Adapters are models of their own, with the weights of their base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmmodal
from mmmodal.authoring.pretrained import checkpoint_code, checkpoint_files
from mmmodal.authoring.records import Record
from mmmodal.authoring.training import answer_records, load_recipe, run_stage
from worlds import read_lines

Run = Callable[..., tuple[int, str, str]]
SMALL = ("max_steps=2", "batch_size=2", "max_tokens=512", "train.lora.rank=2", "learning_rate=0.05")


def test_an_adapter_answers_with_its_own_weights_and_those_of_its_base(
    evaluate: Run, data: Path, start: Path, tmp_path: Path
) -> None:
    base, adapter = shutil.copytree(start, tmp_path / "base"), tmp_path / "adapter"
    given = [f"model={base}", f"data={data}", f"out={adapter}", *SMALL]
    run_stage(load_recipe("lora", given))
    code, _, err = evaluate(base, adapter, data, "--max-new-tokens", 4, "--no-controls")
    assert code == 0, err
    records = [Record.model_validate(row) for row in read_lines(data)]
    said = answer_records(mmmodal.load(adapter), records, data.parent, max_new_tokens=4)
    cases = read_lines(Path("evaluation") / "adapter" / "cases.jsonl")
    assert [case["answer"] for case in cases] == [text for turns in said for text in turns]
    names = set(checkpoint_files(adapter))
    assert {"adapter_model.safetensors", "base/model.safetensors"} <= names
    results = [weights(Path("evaluation") / name) for name in ("base", "adapter")]
    assert results[0] != results[1]


def weights(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["model"]["weights"]


def test_the_code_of_an_answer_is_that_of_core_and_of_each_part(start: Path) -> None:
    found = checkpoint_code(start)
    packages = {"mmmodal-core", "mmmodal-vision-siglip", "mmmodal-audio-whisper"}
    assert packages | {"torch", "transformers"} <= set(found)
    assert len(found["source"]) == 64, "these packages are being developed, so their source counts"
