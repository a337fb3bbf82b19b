"""Language models: conversations rendered and tokenized per second, compared with transformers.

    python bench/backbones.py [--quick] [--json FILE]

Rendering: a conversation of text to ids, with the loss mask and with typed text kept as text,
compared with the tokenizer's own `apply_chat_template`, which returns the same ids without either.
The tokenizers are tiny ones of each family, so words have more tokens than in real ones, in both
ways. Both run in one process, alternately; figures are medians, ratios those of adjacent runs.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path
from typing import Any

from racing import Result, race, show, write

from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Renderer
from mmmodal.testing.languages import FAMILIES, tiny_tokenizer

QUICK = ("qwen3", "tinyllama", "llama3")
TURNS = 8
TEXT = (
    "what do the first picture and second clip have in common apakah persamaan antara gambar "
    "bulatan biru itu berada di sebelah kiri kedua-dua penutur mengucapkan selamat pagi"
)


def conversation(seed: int) -> list[dict[str, str]]:
    """Return a conversation of questions with 20 words and answers with 40."""
    random_ = random.Random(seed)
    lengths = {"user": 20, "assistant": 40}
    return [
        {"role": role, "content": " ".join(random_.choices(TEXT.split(), k=length)) + "."}
        for _ in range(TURNS // 2)
        for role, length in lengths.items()
    ]


def rendering(families: tuple[str, ...], runs: int) -> Result:
    """Return the figures of rendering conversations of four questions and answers."""
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
        results[family] = {"tokens": round(tokens), **race(ways, runs, items=len(chats))}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer families and runs")
    parser.add_argument("--json", type=Path, default=Path("build/bench/backbones.json"))
    arguments = parser.parse_args()
    families = QUICK if arguments.quick else tuple(FAMILIES)
    results = {"rendering": rendering(families, 5 if arguments.quick else 31)}
    show("Conversations rendered and tokenized", results["rendering"])
    path = arguments.json
    write(path, results)


if __name__ == "__main__":
    main()
