"""Conversations answered together, against one at a time as in a chat.

    python bench/eval.py [--quickstart FOLDER] [--conversations N] [--runs N] [--threads N]

Held-out conversations of a quickstart are asked of its model. `together` is `answer_dialogues` in
batches of 100; `anew` the same with each prompt read whole and no row leaving before the last one
ends; `chat` asks one conversation after the other, with a cache of its own. Figures are
conversations per second, and the time of the other ways divided by that of `together`: medians of
runs that alternate in one process. One thread is timed by its processor time, several by the clock.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from racing import Result, race, show, write

import mmmodal
from mmmodal.answering import Dialogue, answer_dialogues
from mmmodal.contracts.record import Record
from mmmodal.model.modeling import MMModalForConditionalGeneration

LONGEST = 32  # maximum tokens of an answer, as in a quickstart
KINDS: dict[str, Callable[[set[str]], bool]] = {
    "all": lambda kinds: True,
    "pictures": lambda kinds: kinds == {"image"},
    "clips": lambda kinds: kinds == {"audio"},
    "both": lambda kinds: kinds == {"image", "audio"},
}


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
    model: MMModalForConditionalGeneration,
    records: Sequence[Record],
    root: Path,
    runs: int,
    clock: Callable[[], float],
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
    return race(ways, runs, items=len(records), clock=clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quickstart", type=Path, default=Path("quickstart"))
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
    model = mmmodal.load(given.quickstart / "model", device="cpu")
    records, root = held_out(given.quickstart), given.quickstart / "data/test"
    answered: Result = {}
    for name, is_one in KINDS.items():
        some = [record for record in records if is_one({ref.kind for ref in record.media})]
        answered[name] = compare(model, some[: given.conversations], root, given.runs, clock)
    show(f"conversations per second, threads: {given.threads}", answered)
    write(given.json, {"threads": given.threads, "answering": answered})


if __name__ == "__main__":
    main()
