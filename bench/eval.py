"""Conversations answered together, against one at a time as in a chat; and whole evaluations.

    python bench/eval.py [--quickstart FOLDER] [--only answering|evaluation] [--conversations N]
        [--runs N] [--threads N] [--json FILE]

Held-out conversations of a quickstart are asked of its model. `together` is `answer_dialogues` in
batches of 100; `anew` the same with each prompt read whole and no row leaving before the last one
ends; `chat` asks one conversation after the other, with a cache of its own. Figures are
conversations per second, and the time of the other ways divided by that of `together`: medians of
runs that alternate in one process. One thread is timed by its processor time, several by the clock.

Then `mmmodal_eval.evaluate` with nothing kept, against `answer_records` alone, as quickstarts asked
before; both load the model. Last, a finished evaluation of all conversations again, through the
command, in processes of their own: plain, and with a control.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from racing import Result, race, show, write

import mmmodal
from mmmodal.answering import Dialogue, answer_dialogues, answer_records
from mmmodal.contracts.record import Record
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal_eval import evaluate

LONGEST = 32  # maximum tokens of an answer, as in a quickstart
KINDS: dict[str, Callable[[set[str]], bool]] = {
    "all": lambda kinds: True,
    "pictures": lambda kinds: kinds == {"image"},
    "clips": lambda kinds: kinds == {"audio"},
    "both": lambda kinds: kinds == {"image", "audio"},
}


@dataclass(frozen=True)
class Racing:
    """How ways are timed."""

    conversations: int
    runs: int
    clock: Callable[[], float]


def held_out(folder: Path) -> list[Record]:
    """Return the conversations of a quickstart in an order that does not depend on their tasks."""
    lines = (folder / "data/test/records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [Record.model_validate_json(line) for line in lines]
    random.Random(0).shuffle(records)
    return records


def chat(model: MMModalForConditionalGeneration, records: Sequence[Record], root: Path) -> None:
    """Ask one conversation after the other."""
    for record in records:
        talk = mmmodal.Chat(model, root=root, max_new_tokens=LONGEST)
        for message in record.messages:
            if message.role == "user":
                parts = [
                    part.text
                    if part.media is None
                    else {"type": part.type, "path": record.media[part.media].uri}
                    for part in message.content
                ]
                talk.say(parts)


def compare(
    model: MMModalForConditionalGeneration, records: Sequence[Record], root: Path, how: Racing
) -> dict[str, float]:
    """Return the figures of each way to ask the same conversations."""
    dialogues = [Dialogue(record, root) for record in records]

    def ask(**settings: Any) -> None:
        for _ in answer_dialogues(model, dialogues, max_new_tokens=LONGEST, **settings):
            pass

    # A setting that is given, though it changes nothing, is one that may look at whole prompts.
    ways = {
        "together": ask,
        "anew": lambda: ask(num_beams=1),
        "chat": lambda: chat(model, records, root),
    }
    return race(ways, how.runs, items=len(records), clock=how.clock)


def answering(folder: Path, how: Racing) -> dict[str, Result]:
    """Return the figures of answering, after printing them."""
    model = mmmodal.load(folder / "model", device="cpu")
    records, root = held_out(folder), folder / "data/test"
    answered: Result = {}
    for name, is_one in KINDS.items():
        some = [record for record in records if is_one({ref.kind for ref in record.media})]
        answered[name] = compare(model, some[: how.conversations], root, how)
    show(f"conversations per second, threads: {torch.get_num_threads()}", answered)
    return {"answering": answered}


def against_asking(folder: Path, how: Racing) -> dict[str, float]:
    """Return the figures of an evaluation with nothing kept, and of asking alone."""
    data, number = folder / "data/test/records.jsonl", how.conversations
    lines = data.read_text(encoding="utf-8").splitlines()[:number]
    records = [Record.model_validate_json(line) for line in lines]

    def anew() -> None:
        with tempfile.TemporaryDirectory() as out:
            settings: dict[str, Any] = {"controls": False, "loading": {"device": "cpu"}}
            evaluate(folder / "model", data, out, rows=number, max_new_tokens=LONGEST, **settings)

    def asking() -> None:
        model = mmmodal.load(folder / "model", device="cpu")
        answer_records(model, records, data.parent, max_new_tokens=LONGEST)

    ways = {"evaluate": anew, "asking": asking}
    return race(ways, how.runs, items=len(records), clock=how.clock)


def again(folder: Path, runs: int, *options: str) -> dict[str, float]:
    """Return the seconds of a finished evaluation again: all of its process, medians."""
    with tempfile.TemporaryDirectory() as out:
        words = ["evaluate", str(folder / "model"), str(folder / "data/test/records.jsonl")]
        words += ["--out", out, "--max-new-tokens", str(LONGEST), "--device", "cpu", *options]
        first, *others = [_timed(words) for _ in range(runs + 1)]
    names = ("wall_s", "processor_s")
    medians = map(statistics.median, zip(*others, strict=True))
    return {"first_wall_s": first[0], **dict(zip(names, medians, strict=True))}


def _timed(words: Sequence[str]) -> tuple[float, float]:
    """Return the wall and processor seconds of a command in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "mmmodal", *words]
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def evaluations(folder: Path, how: Racing) -> dict[str, Result]:
    """Return the figures of whole evaluations, after printing them."""
    anew: Result = {"evaluation": against_asking(folder, how)}
    show("conversations per second, nothing kept", anew)
    kept: Result = {
        "plain": again(folder, how.runs, "--no-controls"),
        "with a control": again(folder, how.runs, "--control", "media exchanged"),
    }
    show("seconds of a finished evaluation again", kept)
    return {"anew": anew, "again": kept}


PARTS = {"answering": answering, "evaluation": evaluations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quickstart", type=Path, default=Path("quickstart"))
    parser.add_argument("--only", choices=PARTS, help="one part; by default both")
    parser.add_argument("--conversations", type=int, default=400, help="of each kind, at most")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, default=Path("build/bench/eval.json"))
    given = parser.parse_args()
    if not (given.quickstart / "model").is_dir():
        print(f"{given.quickstart} is no quickstart; `make quickstart` makes one", file=sys.stderr)
        return
    torch.set_num_threads(given.threads)
    clock = time.process_time if given.threads == 1 else time.perf_counter
    how = Racing(given.conversations, given.runs, clock)
    found: dict[str, Any] = {"threads": given.threads}
    for name, part in PARTS.items():
        if given.only in (None, name):
            found |= part(given.quickstart, how)
    write(given.json, found)


if __name__ == "__main__":
    main()
