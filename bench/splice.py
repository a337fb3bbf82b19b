"""The splice, compared with concatenating every row of the batch piece by piece.

    python bench/splice.py [--json FILE]

Both run forward and backward in one process, alternately; the figures are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mmmodal.model.splice import Features, splice

RUNS = 15
SHAPES = {  # batch, tokens, width, items a row, vectors an item
    "one image a row": (8, 1024, 1024, 1, 576),
    "three images a row": (4, 2048, 1024, 3, 576),
    "twelve short clips a row": (8, 1024, 1024, 12, 40),
}


def plain(embeddings: Tensor, kinds: Tensor, items: list[Tensor]) -> Tensor:
    """Return the rows, cut at their runs of slots and concatenated with the items."""
    upcoming = iter(items)
    rows = []
    for row, kind in zip(embeddings, kinds, strict=True):
        edges = (kind[1:] != kind[:-1]).nonzero().flatten().add(1).tolist()
        bounds = zip([0, *edges], [*edges, len(kind)], strict=True)
        rows.append(torch.cat([next(upcoming) if kind[a] else row[a:b] for a, b in bounds]))
    return torch.stack(rows)


def measure(function: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    function().square().mean().backward()
    return time.perf_counter() - start


def compare(batch: int, tokens: int, width: int, items: int, length: int) -> dict[str, float]:
    torch.manual_seed(0)
    embeddings = torch.randn(batch, tokens, width, requires_grad=True)
    values = torch.randn(batch * items * length, width, requires_grad=True)
    kinds = torch.zeros(batch, tokens, dtype=torch.bool)
    step = tokens // items
    for index in range(items):
        kinds[:, index * step + 1 : index * step + 1 + length] = True
    lengths = [length] * (batch * items)

    def ours() -> Tensor:
        return splice(embeddings, {"m": kinds}, {"m": Features(values, lengths)})

    def theirs() -> Tensor:
        return plain(embeddings, kinds, list(torch.split(values, lengths)))

    assert torch.equal(ours(), theirs())
    measure(ours), measure(theirs)
    pairs = [(measure(ours), measure(theirs)) for _ in range(RUNS)]
    return {
        "splice_ms": 1000 * statistics.median(a for a, _ in pairs),
        "plain_ms": 1000 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/splice.json"))
    path = parser.parse_args().json
    results = {name: compare(*shape) for name, shape in SHAPES.items()}
    print(f"{'':<26}{'splice ms':>10}{'plain ms':>10}{'times faster':>14}")
    for name, row in results.items():
        print(f"{name:<26}{row['splice_ms']:>10.1f}{row['plain_ms']:>10.1f}{row['ratio']:>14.2f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
