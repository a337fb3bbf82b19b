"""Language models: conversations rendered and tokenized per second, against transformers alone.

    python bench/backbones.py [--quick] [--json FILE]

Rendering: a conversation of text to ids, with the loss mask and with typed text kept text, against
the tokenizer's own `apply_chat_template`, which gives the same ids and neither. Tokenizers are tiny
ones of each family, so there are more tokens to a word than in earnest, for both. Both run in one
process, in turn; the figures are medians, ratios those of neighbouring runs.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Renderer
from mmmodal.testing.languages import FAMILIES, tiny_tokenizer

Result = dict[str, dict[str, float]]

QUICK = ("qwen3", "tinyllama", "llama3")
TURNS = 8
TEXT = (
    "what do the first picture and second clip have in common apakah persamaan antara gambar "
    "bulatan biru itu berada di sebelah kiri kedua-dua penutur mengucapkan selamat pagi"
)


def conversation(seed: int) -> list[dict[str, str]]:
    """Make questions of 20 words and answers of 40, after one another."""
    random_ = random.Random(seed)
    lengths = {"user": 20, "assistant": 40}
    return [
        {"role": role, "content": " ".join(random_.choices(TEXT.split(), k=length)) + "."}
        for _ in range(TURNS // 2)
        for role, length in lengths.items()
    ]


def seconds_of(function: Callable[[], Any]) -> float:
    """Return the processor time: one thread does the work, and other processes do not count."""
    start = time.process_time()
    function()
    return time.process_time() - start


def race(ways: Mapping[str, Callable[[], Any]], runs: int, items: int) -> dict[str, float]:
    """Time several ways in turn: items per second of each, and how the first one compares."""
    for way in ways.values():
        way()
    laps = [{name: seconds_of(way) for name, way in ways.items()} for _ in range(runs)]
    first = next(iter(ways))
    result = {
        f"{name}_per_s": items / statistics.median(lap[name] for lap in laps) for name in ways
    }
    for name in list(ways)[1:]:
        result[f"{name}_ratio"] = statistics.median(lap[name] / lap[first] for lap in laps)
    return result


def rendering(families: tuple[str, ...], runs: int) -> Result:
    """Render conversations of four questions and answers."""
    chats = [conversation(seed) for seed in range(20)]
    messages = [read_messages(chat, ())[0] for chat in chats]
    results = {}
    for family in families:
        tokenizer = tiny_tokenizer(family)
        renderer = Renderer(tokenizer, {})

        def ours(renderer: Renderer = renderer) -> list[list[int]]:
            return [renderer.render(chat).input_ids for chat in messages]

        def theirs(tokenizer: Any = tokenizer) -> list[list[int]]:
            options = {"tokenize": True, "return_dict": True}
            return [tokenizer.apply_chat_template(chat, **options)["input_ids"] for chat in chats]

        assert ours() == theirs()
        tokens = statistics.mean(map(len, ours()))
        ways = {"ours": ours, "apply_chat_template": theirs}
        results[family] = {"tokens": round(tokens), **race(ways, runs, len(chats))}
    return results


def show(title: str, results: Result) -> None:
    columns = list(next(iter(results.values())))
    widths = [max(8, len(column)) + 2 for column in columns]
    print(f"\n{title}\n{'':<20}" + "".join(map(str.rjust, columns, widths)))
    for name, row in results.items():
        cells = (
            f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" for value in row.values()
        )
        print(f"{name:<20}" + "".join(map(str.rjust, cells, widths)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer families and runs")
    parser.add_argument("--json", type=Path, default=Path("build/bench/backbones.json"))
    arguments = parser.parse_args()
    families = QUICK if arguments.quick else tuple(FAMILIES)
    results = {"rendering": rendering(families, 5 if arguments.quick else 31)}
    show("Conversations rendered and tokenized", results["rendering"])
    path = arguments.json
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
