"""Start and memory of a run on indexed and on streamed data of several sizes, on the CPU.

    python bench/streaming.py [--rows N …] [--json FILE]

Each line is one process that opens a file of short conversations, as training does, and prepares
the batches of a number of steps. The start lasts until the first batch is there; the memory is what
the process holds then and at its peak more than after all imports; rows/s are those after the
start. Without media, which would take most of the time of both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

KINDS = {
    "indexed": (False, False),
    "streamed": (True, False),
    "streamed, packed": (True, True),
}
"""Whether the data are streamed, and packed. Packing indexed data measures every row at first."""

STEPS = 1500
BATCH = 4


def write_inputs(folder: Path) -> None:
    """Write a model with random weights."""
    import mmmodal
    from mmmodal_playground.tiny_language import tiny_language_model

    language = tiny_language_model(folder / "language", "llama")
    mmmodal.compose(folder / "model", backbone=f"auto:{language}")


def write_rows(path: Path, number: int) -> None:
    """Write conversations of a question and an answer."""
    with path.open("w", encoding="utf-8") as file:
        for index in range(number):
            turns = [
                {"role": role, "content": [{"type": "text", "text": text}]}
                for role, text in (
                    ("user", f"What is number {index}?"),
                    ("assistant", f"It is {index}. " + "It has a name. " * (index % 9)),
                )
            ]
            row = {"id": str(index), "messages": turns, "media": []}
            file.write(json.dumps(row) + "\n")


def batches(kind: str, path: Path, model: Path) -> Iterator[Any]:
    """Return the batches of a training."""
    from mmmodal.making.loading import load_processor
    from mmmodal.samples.dataset import PreparedDataset
    from mmmodal.samples.streaming import LANES
    from mmmodal.train.loop.feed import planned_feed
    from mmmodal.train.loop.stream_feed import streamed_feed
    from mmmodal.train.recipe.recipe import load_recipe
    from mmmodal.train.stage.arguments import arguments_of
    from mmmodal.train.stage.inputs import combined, open_data
    from mmmodal.train.stage.plan import Plan

    streaming, packing = KINDS[kind]
    data = json.dumps({"path": str(path), "streaming": streaming})
    size = [f"batch_size={1 if packing else BATCH}", f"packing={packing}", "max_tokens=512"]
    given = [f"model={model}", f"data={data}", "out=none", f"max_steps={STEPS}", *size]
    recipe = load_recipe("align", given)
    arguments = arguments_of(recipe, path.parent, Plan.of(recipe, str(model), has_gpu=False))
    preparer = load_processor(model).preparer
    preparer.told = True
    dataset = combined(recipe, open_data(recipe, readers=LANES), preparer, recipe.max_tokens)
    if isinstance(dataset, PreparedDataset):
        feed: Any = planned_feed(recipe, dataset, path.parent, arguments)
    else:
        feed = streamed_feed(recipe, dataset, arguments)
    return iter(feed.loader(arguments))


def memory_of_this_process(key: str) -> float:
    """Return VmRSS, or its peak VmHWM, in MB."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(kind: str, path: Path, model: Path) -> dict[str, float]:
    """Return the figures of one process."""
    from mmmodal.train.loop.bad_samples import ROWS

    small = path.with_name("small.jsonl")
    write_rows(small, 50)
    next(batches(kind, small, model))  # so that everything is imported
    before = memory_of_this_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    began = time.perf_counter()
    coming = batches(kind, path, model)
    next(coming)
    start = time.perf_counter() - began
    at_start = memory_of_this_process("VmRSS")
    began = time.perf_counter()
    rows = sum(len(batch[ROWS]) for batch in islice(coming, STEPS - 1))
    return {
        "start": round(start, 2),
        "memory": round(at_start - before, 1),
        "peak": round(memory_of_this_process("VmHWM") - before, 1),
        "rows_per_second": round(rows / (time.perf_counter() - began)),
    }


def in_a_process(kind: str, path: Path, model: Path) -> dict[str, float]:
    """Return the figures of a process, which returns freed memory to the system immediately."""
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", kind, "--path", path, "--model", model],
        env={**os.environ, **settings, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure every kind of data at every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=KINDS)
    parser.add_argument("--path", type=Path)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.path, given.model)))
        return
    results = []
    print(f"{'DATA':17} {'ROWS':>9} {'START':>8} {'MEMORY':>9} {'PEAK':>9} {'ROWS/S':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        for rows in given.rows:
            path = folder / "rows.jsonl"
            write_rows(path, rows)
            for kind in KINDS:
                figures = in_a_process(kind, path, folder / "model")
                results.append({"data": kind, "rows": rows, **figures})
                print(
                    f"{kind:17} {rows:9,} {figures['start']:6.2f} s {figures['memory']:6.1f} MB "
                    f"{figures['peak']:6.1f} MB {figures['rows_per_second']:7,.0f}",
                    flush=True,
                )
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
