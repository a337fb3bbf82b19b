"""Starts, memory and waiting of whole runs, for `bench/data.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from data_inputs import QUICK, Shape, write_embedded, write_files, write_texts
from racing import Result
from streaming import memory_of_this_process, write_inputs

TOKENS = 1024
"""The tokens of a pack."""

BENCH = Path(__file__).with_name("data.py")


def start(path: Path, model: Path, run: Path) -> dict[str, float]:
    """Return the figures of one start of a packed training, in this process."""
    from mmmodal.making.loading import load_processor
    from mmmodal.records.dataset import RecordDataset
    from mmmodal.samples.batches import BatchPlan
    from mmmodal.samples.dataset import PreparedDataset
    from mmmodal.samples.lengths import MeasuredDataset, measure_lengths

    preparer = load_processor(model).preparer
    preparer.told = True
    small = path.with_name("small.jsonl")
    write_texts(small, 4)
    warm = PreparedDataset([RecordDataset(small)], preparer, max_tokens=512)
    measure_lengths(warm, run / "small")
    preparer.collate_pack([warm[0]])
    before = memory_of_this_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    times = [time.perf_counter()]
    dataset = PreparedDataset([RecordDataset(path)], preparer, max_tokens=512)
    times.append(time.perf_counter())
    lengths = measure_lengths(dataset, run, workers=2)
    times.append(time.perf_counter())
    plan = BatchPlan(lengths, 1, 512, 1.0, 0, dataset.mixture.epoch)
    samples = MeasuredDataset(dataset, lengths)
    preparer.collate_pack([samples[index] for index in next(iter(plan.batches()))])
    times.append(time.perf_counter())
    seconds = dict(zip(("index_s", "lengths_s", "first_pack_s"), np.diff(times), strict=True))
    resident = memory_of_this_process("VmRSS")
    peak = memory_of_this_process("VmHWM")
    memory = {"rss_mb": resident, "more_mb": resident - before, "peak_mb": peak - before}
    return {name: round(float(value), 3) for name, value in (seconds | memory).items()}


def starts(folder: Path, shape: Shape) -> Iterator[tuple[str, Result]]:
    """Yield the figures of three starts, each in a process of its own."""
    write_inputs(folder)
    for rows in shape.lengths:
        results = {}
        path = folder / "start.jsonl"
        write_texts(path, rows)
        cache = folder / f"cache-{rows}"
        for number, name in enumerate(("first", "second", "resumed")):
            run = folder / f"run-{rows}-{min(number, 1)}"
            run.mkdir(exist_ok=True)
            given = ["--start", path, "--model", folder / "model", "--run", run]
            results[name] = in_a_process(given, cache)
        yield f"starts with {rows:,} packed texts", results


def in_a_process(given: list[Any], cache: Path) -> dict[str, float]:
    """Return the figures of a process, which returns freed memory to the system immediately."""
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, BENCH, *map(str, given)],
        env={**os.environ, **settings, **quiet, "MMMODAL_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def waiting(folder: Path, shape: Shape) -> Iterator[tuple[str, Result]]:
    """Yield the share of a training's time without a batch, for every kind of file."""
    from training_inputs import QUICK as TINY
    from training_inputs import Shape as Model
    from training_inputs import write_parts

    quick = shape == QUICK
    write_parts(folder / "parts", TINY if quick else Model())
    path = folder / "waiting" / "rows.jsonl"
    path.parent.mkdir()
    write_files(path, shape)
    write_embedded(path, shape.shards)
    tars = str(path.parent / "*.tar")
    kinds: dict[str, dict[str, Any]] = {
        "JSON lines": {"path": str(path)},
        "Parquet": {"path": str(path.with_suffix(".parquet"))},
        "tar": {"path": tars},
        "tar, streamed": {"path": tars, "streaming": True},
    }
    yield "waiting", {name: trained(folder, name, data, shape) for name, data in kinds.items()}


def trained(folder: Path, name: str, data: dict[str, Any], shape: Shape) -> dict[str, float]:
    """Return the figures of a training of the first stage, without its first step."""
    from mmmodal.train.recipe.recipe import load_recipe
    from mmmodal.train.stage.stage import run_stage

    out = folder / f"trained-{name.replace(', ', '-').replace(' ', '-')}"
    given = [f"model={folder / 'parts' / 'model'}", f"out={out}", f"data={json.dumps(data)}"]
    sizes = [f"max_steps={shape.steps}", f"max_tokens={TOKENS}", "batch_size=1", "packing=true"]
    how = ["workers=2", "log_every=1", "deepspeed=none", "precision=fp32"]
    run_stage(load_recipe("align", [*given, *sizes, *how]))
    lines = (out / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "waiting_seconds" in row][1:]
    waited = sum(row["waiting_seconds"] for row in rows)
    seconds = sum(row["utilisation"] * TOKENS / row["tokens_per_second"] for row in rows)
    return {"steps": len(rows), "waited_s": waited, "steps_s": seconds, "share": waited / seconds}
