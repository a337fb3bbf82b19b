"""Training as in the recipes, compared with padding and with the language model alone.

    python bench/training.py [--quick] [--json FILE]

Tokens are counted without padding, per second of whole steps: forward, backward, clipping,
optimizer. Batches are prepared between steps and timed separately; the time of a step is the longer
of both, as with one worker process that reads in advance. `loading` is their ratio. Seconds are
processor time, so that other load has little effect: set one thread, `OMP_NUM_THREADS=1`. The ways
run in separate processes, one step at a time, alternately; the figures are medians. `padded` is
LLaVA's way: conversations grouped by length, padded to the longest, SDPA; its loss is computed as
ours. `alone` is the upper limit: the language model on packs of the same lengths with text in place
of media. `full` is the share of positions with tokens; for packs, in an epoch of 8,192
conversations with such lengths.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from training_inputs import QUICK, Shape, write_data, write_parts

PRELOADED = [
    "mmmodal.train.stage.pack_check",
    "mmmodal.train.stage.stage",
    "mmmodal.train.loop.trainer",
    "mmmodal_audio_whisper.tower",
    "mmmodal_playground.tiny_language",
    "mmmodal_vision_siglip.tower",
    "transformers.models.llama.modeling_llama",
]
"""The modules that are imported once, in the process from which all others are forked."""

WAYS = ("padded", "packed", "cached", "alone")
STAGES = ("align", "instruct")
DATA = ("playground", "mixed")

EPOCH = 8192
"""The number of conversations of the epoch for `full`; their lengths are those of the records."""

PROCESSES = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Setting:
    """The way, stage and data that one process measures."""

    way: str
    stage: str
    shape: Shape
    folder: str
    data: str


def recipe_of(setting: Setting) -> Any:
    """Return the recipe of a way; `padded` has neither packs nor stored features."""
    from mmmodal.train.recipe.recipe import load_recipe

    folder = Path(setting.folder)
    name = f"{Path(setting.data).parent.name}-{setting.stage}-{setting.way}"
    values = [
        f"model={folder / 'model'}",
        f"data={setting.data}",
        f"out={folder / name}",
        f"max_tokens={setting.shape.tokens(setting.stage)}",
        "batch_size=1",
        "max_steps=1000",
        "deepspeed=none",
    ]
    if setting.way != "padded":
        values.append("packing=true")
    if setting.way in ("cached", "alone"):
        values.append(f"feature_cache={folder / 'cache'}")
    return load_recipe(setting.stage, values)


class Training:
    """One way to train, step by step."""

    def __init__(self, setting: Setting) -> None:
        from mmmodal.samples.dataset import PreparedDataset
        from mmmodal.train.stage.inputs import open_inputs

        self.setting, self.recipe = setting, recipe_of(setting)
        inputs = open_inputs(self.recipe, self.recipe.out)
        self.arguments, self.model = inputs.arguments, inputs.model
        assert isinstance(inputs.dataset, PreparedDataset)
        self.dataset = inputs.dataset
        self.efficiency = 1.0
        self.batches = self._padded() if setting.way == "padded" else self._packed()
        if setting.way == "alone":
            self._leave_media()
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer: Any = None

    def _packed(self) -> Iterator[Any]:
        import numpy as np

        from mmmodal.train.loop.feed import planned_feed

        data = planned_feed(self.recipe, self.dataset, self.recipe.out, self.arguments)
        # With so few records the last packs are half empty, unlike in an epoch of thousands.
        chance = np.random.default_rng(0)
        lengths = chance.choice(data.plan.lengths, EPOCH)
        epoch = replace(data.plan, epochs=1.0, lengths=lengths, drawn=None)
        self.efficiency = epoch.utilisation
        return iter(data.loader(self.arguments))

    def _padded(self) -> Iterator[Any]:
        """Yield batches with about as many tokens as a pack, grouped as by LLaVA's Trainer."""
        import torch
        from torch.utils.data import DataLoader
        from transformers.trainer_pt_utils import LengthGroupedSampler

        from mmmodal.samples.lengths import measure_lengths

        lengths = measure_lengths(self.dataset, self.recipe.out).tolist()
        size = max(1, round(self.recipe.max_tokens / statistics.mean(lengths)))
        generator = torch.Generator().manual_seed(0)
        sampler: Any = LengthGroupedSampler(size, lengths=lengths, generator=generator)
        order = [index for _ in range(self.setting.shape.rounds + 2) for index in sampler]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        real = [sum(lengths[i] for i in batch) for batch in batches]
        held = [max(lengths[i] for i in batch) * len(batch) for batch in batches]
        self.efficiency = sum(real) / sum(held)
        dataset: Any = self.dataset
        collate = self.model.processor.preparer.collate
        return iter(DataLoader(dataset, batch_sampler=batches, collate_fn=collate))

    def _leave_media(self) -> None:
        """Replace media by text, for a language model without modalities."""
        import torch

        import mmmodal
        from mmmodal.model.varlen import PACK
        from mmmodal.train.stage.pack_check import attend_by_sample

        kept = ("position_ids", "labels", *PACK)
        rounds = list(islice(self.batches, self.setting.shape.rounds + 1))
        alone = Path(self.setting.folder, "alone")
        self.model = mmmodal.load(alone, dtype="fp32", device="cpu").train()
        attend_by_sample(self.model)
        rows = self.model.get_input_embeddings().num_embeddings
        batches = []
        for batch in rounds:
            ids = torch.where(batch["input_ids"] < rows, batch["input_ids"], 7)
            batches.append({"input_ids": ids} | {name: batch[name] for name in kept})
        self.batches = iter(batches)
        self.model.requires_grad_(self.setting.stage == "instruct")

    def step(self) -> dict[str, float]:
        """Train one step; return its times."""
        import torch

        start = time.process_time()
        batch = dict(next(self.batches))
        loading = time.process_time() - start
        start += loading
        mask = batch.get("attention_mask")
        tokens = int(batch["input_ids"].numel() if mask is None else mask.sum())
        if not self.trained:  # gradients must pass through the language model to its inputs
            batch["inputs_embeds"] = self.model.model.embed(batch.pop("input_ids")).requires_grad_()
        self.model(**batch, skip_logits=True).loss.backward()
        if self.trained:
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer = self.optimizer or torch.optim.AdamW(self.trained, 1e-5)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return {"tokens": tokens, "loading": loading, "seconds": time.process_time() - start}


def serve(setting: Setting, pipe: Connection) -> None:
    """Train a step for each request; send the peak memory at the end."""
    training = Training(setting)
    pipe.send(training.efficiency)
    while pipe.recv():
        pipe.send(training.step())
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def fill(setting: Setting) -> None:
    """Fill the feature cache, in a separate process, so that its memory is not measured."""
    from mmmodal.train.stage.stage import cache_features

    cache_features(recipe_of(setting))


def run(function: Callable[..., Any], *arguments: Any) -> None:
    """Run a function in a separate process, and wait for it."""
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} failed")


def measure(settings: Sequence[Setting]) -> dict[str, dict[str, float]]:
    """Return the figures of the ways, which train steps alternately."""
    run(fill, replace(settings[0], way="cached"))
    pipes = {}
    for setting in settings:
        ours, theirs = PROCESSES.Pipe()
        PROCESSES.Process(target=serve, args=(setting, theirs), daemon=True).start()
        theirs.close()  # so that a failure of the process is noticed
        pipes[setting.way] = ours
    full = {way: pipe.recv() for way, pipe in pipes.items()}
    steps: dict[str, list[dict[str, float]]] = {way: [] for way in pipes}
    for _ in range(settings[0].shape.rounds + 1):
        for way, pipe in pipes.items():
            pipe.send(True)
            steps[way].append(pipe.recv())
    results = {}
    for way, pipe in pipes.items():
        pipe.send(False)
        results[way] = _summary(steps[way][1:], full[way], pipe.recv())
    return results


def _summary(steps: Sequence[dict[str, float]], full: float, memory: float) -> dict[str, float]:
    return {
        "tokens_per_s": statistics.median(
            step["tokens"] / max(step["seconds"], step["loading"]) for step in steps
        ),
        "loading": statistics.median(step["loading"] / step["seconds"] for step in steps),
        "efficiency": full,
        "memory_mb": memory,
    }


def report(title: str, results: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    print(f"\n{title:<22}{'tokens/s':>10}{'× padded':>10}{'of alone':>10}", end="")
    print(f"{'loading':>9}{'full':>7}{'peak MB':>9}")
    padded, alone = (results[way]["tokens_per_s"] for way in ("padded", "alone"))
    for way, row in results.items():
        rate = row["tokens_per_s"]
        print(f"{way:<22}{rate:>10,.0f}{rate / padded:>10.2f}{rate / alone:>10.2f}", end="")
        print(f"{row['loading']:>9.2f}{row['efficiency']:>7.1%}{row['memory_mb']:>9,.0f}")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/training.json"))
    parser.add_argument("--quick", action="store_true", help="small shapes and two rounds")
    parser.add_argument("--stage", choices=STAGES, help="one stage alone")
    parser.add_argument("--data", choices=DATA, help="one kind of data alone")
    arguments = parser.parse_args()
    shape = QUICK if arguments.quick else Shape()
    PROCESSES.set_forkserver_preload(PRELOADED)
    results: dict[str, Any] = {"shape": asdict(shape)}
    with tempfile.TemporaryDirectory() as folder:
        run(write_parts, Path(folder), shape)
        for kind in [arguments.data] if arguments.data else DATA:
            path = Path(folder, kind, "records.jsonl")
            run(write_data, path, shape)
            for stage in [arguments.stage] if arguments.stage else STAGES:
                settings = [Setting(way, stage, shape, folder, str(path)) for way in WAYS]
                results[f"{kind}, {stage}"] = found = measure(settings)
                report(f"{kind}, {stage}", found)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
