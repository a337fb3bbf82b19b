"""Peak memory of the loss over a large vocabulary: in chunks, compared with all logits at once.

    python bench/head.py [--quick] [--json FILE]

Each way runs forward and backward in a separate process, whose maximum resident size is read; the
memory before the loss is subtracted. The width is small, as the size of the logits does not depend
on it. The plain way needs about 15 GiB at the full shapes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

SHAPES = {  # vocabulary, tokens, width, share that is supervised, whether the head trains
    "all supervised, frozen head": (151_936, 8192, 128, 1.0, False),
    "all supervised, trained head": (151_936, 8192, 128, 1.0, True),
    "a third supervised, trained head": (151_936, 8192, 128, 0.33, True),
}
QUICK = {"quick": (32_000, 1024, 256, 1.0, True)}


def run(way: str, vocabulary: int, tokens: int, width: int, share: float, trained: bool) -> None:
    """Compute the loss and its gradients in one way; print MiB and seconds."""
    import torch
    from transformers import Qwen2Config

    from mmmodal.conversation.rendering import IGNORE
    from mmmodal.model.head import Head

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, intermediate_size=1,
    )  # fmt: skip
    head = Head(config)
    lm_head = torch.nn.Linear(width, vocabulary, bias=False).requires_grad_(trained)
    hidden = torch.randn(1, tokens, width, requires_grad=True)
    labels = torch.randint(0, vocabulary, (1, tokens))
    labels[torch.rand(labels.shape) >= share] = IGNORE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if way == "chunks":
        loss = head.loss(lm_head, hidden, labels)
    else:
        from transformers.loss.loss_utils import ForCausalLMLoss

        loss = ForCausalLMLoss(head.logits(lm_head, hidden), labels, vocabulary)
    loss.backward()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"mib": peak / 1024, "seconds": seconds, "loss": loss.item()}))


def measure(way: str, name: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--shape", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/head.json"))
    parser.add_argument("--quick", action="store_true", help="a small shape, in seconds")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        return run(given.way, *{**SHAPES, **QUICK}[given.shape])
    results = {}
    print(f"{'':<34}{'plain MiB':>11}{'chunks MiB':>12}{'share':>8}{'plain s':>9}{'chunks s':>10}")
    for name in QUICK if given.quick else SHAPES:
        plain, chunks = measure("plain", name), measure("chunks", name)
        assert abs(plain["loss"] - chunks["loss"]) < 1e-4 * plain["loss"], (plain, chunks)
        share = chunks["mib"] / plain["mib"]
        results[name] = {"plain": plain, "chunks": chunks, "share": share}
        print(
            f"{name:<34}{plain['mib']:>11,.0f}{chunks['mib']:>12,.0f}{share:>8.0%}"
            f"{plain['seconds']:>9.1f}{chunks['seconds']:>10.1f}"
        )
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
