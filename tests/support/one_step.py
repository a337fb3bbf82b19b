"""Run one step of the data pipeline on a test's rows, with the models that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from language_server import Server
from mmmodal.config import validate
from mmmodal_datagen.contracts import Row
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline

__all__ = ["made", "run_step", "seen_by", "steps_on"]


def steps_on(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    steps: Mapping[str, Any],
    *,
    server: Server | None = None,
    **changes: Any,
) -> Pipeline:
    """Return a pipeline of `steps`, whose `rows` are read from a file."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    backends = {}
    if server is not None:
        options = {"model": "m", "base_url": server.url, "endpoint": "here", "backoff_s": 0.01}
        backends["writer"] = {"language_model": "openai", "options": {**options, "retries": 1}}
    values = {
        "out": folder / "out",
        "root": folder,
        "shard_rows": 4,
        "backends": backends | changes.pop("backends", {}),
        "steps": {"rows": {"step": "import", "options": {"files": ["rows.jsonl"]}}, **steps},
    }
    return validate(Pipeline, values | changes, "test")


def run_step(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    step: str,
    *,
    server: Server | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> StepOutcome:
    """Run one step on rows; return the outcome."""
    entry = {"inputs": ["rows"], "preset": preset, "options": dict(options or {})}
    pipeline = steps_on(folder, rows, {step: entry}, server=server, **changes)
    return run_pipeline(pipeline)[-1]


def made(outcome: StepOutcome) -> list[Row]:
    """Return the rows that a step wrote."""
    return [row for file in outcome.files for row in file.read()]


def seen_by(server: Server) -> list[str]:
    """Return the prompts that the server received, in order: raw prompts and last messages."""
    return [
        request["prompt"] if "prompt" in request else request["messages"][-1]["content"]
        for request in server.requests
    ]
