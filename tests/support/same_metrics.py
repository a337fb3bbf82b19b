"""Check that a refactoring changes no training: record trainings before and after, and compare.

    python tests/support/same_metrics.py record before     # on the commit before
    python tests/support/same_metrics.py record after      # with the change
    python tests/support/same_metrics.py compare before after

The trainings use the playground, with 20 steps each: padded, packed, with stored features, on two
ranks with DeepSpeed, and one that is killed and resumed. All numbers of `metrics.jsonl` except
times must be bitwise equal, and so must the weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from killing import Fate, Training

STEPS = 20
TIMES = {
    "seconds",
    "tokens_per_second",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "waiting_seconds",
}
"""The keys that depend on the machine and the time."""


def trainings(world: Path) -> Iterator[tuple[Training, Fate | None]]:
    """Yield each training, and the moment when it is killed."""
    settings = [
        f"model={world / 'start'}",
        f"data={world / 'data' / 'records.jsonl'}",
        f"max_steps={STEPS}",
        "log_every=1",
        "save_every=7",
        "precision=fp32",
        "learning_rate=1e-3",
        "weight_decay=0.1",
        "note_rows=true",
    ]
    padded = [*settings, "batch_size=4", "max_tokens=1024"]
    packed = [*settings, "batch_size=1", "max_tokens=512", "packing=true"]
    cache = [f"feature_cache={world / 'features'}", "feature_cache_dtype=fp32"]

    def said(name: str, stage: str, chosen: list[str], ranks: int = 1) -> Training:
        return Training.said(stage, world / name, *chosen, ranks=ranks)

    killed = Fate("open", "checkpoint-14", count=1)
    yield said("padded", "align", padded), None
    yield said("packed", "instruct", packed), None
    yield said("stored", "align", [*packed, *cache]), None
    yield said("ranks", "instruct", [*padded, "deepspeed=zero2-offload"], ranks=2), None
    yield said("resumed", "instruct", packed), killed


def record(folder: Path) -> None:
    """Run all trainings, and write the results that must not change to `folder`."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        world = Path(scratch)
        weights = {"start": _make_world(world)}
        for training, fate in trainings(world):
            name = training.out.name
            print(name, file=sys.stderr)
            if fate is not None:
                assert training.start(fate).wait() != 0, "it was not killed"
            training.finish()
            text = "".join(json.dumps(row) + "\n" for row in _rows(training.run))
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
            weights[name] = _digest(training.out)
        (folder / "weights.json").write_text(json.dumps(weights, indent=2) + "\n", "utf-8")


def _make_world(world: Path) -> str:
    """Compose a model of the playground's parts, generate its data; return the model's digest."""
    import torch

    import mmmodal
    from mmmodal_playground.records import make_records

    torch.manual_seed(0)
    mmmodal.compose(
        world / "start",
        backbone="playground-llama",
        encoders={"image": "playground-siglip", "audio": "playground-whisper"},
    )
    make_records(world / "data", 60)
    return _digest(world / "start")


def _rows(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run's journals, without values that depend on the time."""
    for path in [run / "metrics.jsonl", *sorted(run.glob("rows-*.jsonl"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = {key: value for key, value in json.loads(line).items() if key not in TIMES}
            # Positions of rows include the data file, which is in another folder each time.
            row["rows"] = [where.rpartition("/")[2] for where in row.get("rows", [])]
            yield row


def _digest(folder: Path) -> str:
    """Return a digest of all weights of a model folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def compare(before: Path, after: Path) -> list[str]:
    """Return the differences, one line each."""
    names = sorted({path.name for folder in (before, after) for path in folder.iterdir()})
    return [line for name in names for line in _differences(name, before / name, after / name)]


def _differences(name: str, before: Path, after: Path) -> Iterator[str]:
    if not (before.exists() and after.exists()):
        yield f"{name}: only in one folder"
        return
    one, other = (path.read_text(encoding="utf-8").splitlines() for path in (before, after))
    if len(one) != len(other):
        yield f"{name}: {len(one)} rows before, {len(other)} after"
    for number, (was, now) in enumerate(zip(one, other, strict=False), start=1):
        if was != now:
            yield f"{name}:{number}: {was} before, {now} after"
            return


def main() -> int:
    """Record, or compare two recordings; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record").add_argument("folder", type=Path)
    compared = commands.add_parser("compare")
    compared.add_argument("before", type=Path)
    compared.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "record":
        record(given.folder)
        return 0
    found = compare(given.before, given.after)
    print("\n".join(found) or "bitwise equal")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
