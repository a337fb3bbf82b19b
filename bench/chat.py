"""A later turn with the key-value cache, compared with reading the whole conversation again.

    python bench/chat.py [--json FILE]

A composed model of random weights (8 layers of 256, one picture of 576 tokens per turn) answers
four turns with eight tokens. Both ways run in one process, alternately; the figures are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

import mmmodal
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal_playground.tiny import tiny_siglip
from mmmodal_playground.tiny_language import tiny_language_model

RUNS = 5
TURNS = 4


def build(folder: Path) -> MMModalForConditionalGeneration:
    lm = tiny_language_model(folder / "lm", "llama", hidden_size=256, layers=8, positions=8192)
    siglip = tiny_siglip(folder / "siglip", image_size=192, patch_size=8, hidden_size=64)
    parts = {"image": f"siglip:{siglip}"}
    return mmmodal.compose(backbone=f"auto:{lm}", encoders=parts)


def talk(model: MMModalForConditionalGeneration, *, reuse: bool) -> list[float]:
    """Return the seconds of each turn."""
    chat = mmmodal.Chat(model, max_new_tokens=8, min_new_tokens=8)
    seconds = []
    for turn in range(TURNS):
        picture = Image.new("RGB", (200, 200), (40 * turn, 80, 120))
        if not reuse:
            chat._cache, chat._cached_ids = None, []
        start = time.perf_counter()
        chat.say("What is new in this picture?", images=[picture])
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/chat.json"))
    path = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        model = build(Path(folder))
    talk(model, reuse=True)
    runs = [(talk(model, reuse=True), talk(model, reuse=False)) for _ in range(RUNS)]
    results = {}
    print(f"{'turn':<6}{'with cache s':>14}{'anew s':>10}{'times faster':>14}")
    for turn in range(TURNS):
        cached = statistics.median(a[turn] for a, _ in runs)
        anew = statistics.median(b[turn] for _, b in runs)
        ratio = statistics.median(b[turn] / a[turn] for a, b in runs)
        results[f"turn {turn + 1}"] = {"cached_s": cached, "anew_s": anew, "ratio": ratio}
        print(f"{turn + 1:<6}{cached:>14.3f}{anew:>10.3f}{ratio:>14.2f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
