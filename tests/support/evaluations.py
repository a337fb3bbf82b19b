"""Cases of evaluations as a scorer would have scored them, drawn with a known truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmodal_eval.results import CaseResult, Results
from mmmodal_eval.statistics.figures import figures, outcomes

__all__ = ["STRUCTURES", "case_result", "covered", "draw_right", "numbered", "write_evaluation"]

Numbers = NDArray[np.int64]

STRUCTURES: dict[str, Callable[[np.random.Generator, int], Numbers]] = {
    "one case each": lambda rng, clusters: np.ones(clusters, dtype=np.int64),
    "five cases each": lambda rng, clusters: np.full(clusters, 5),
    "one to nine cases": lambda rng, clusters: rng.integers(1, 10, clusters),
    "a few long ones": lambda rng, clusters: np.minimum(rng.geometric(0.15, clusters), 40),
}
"""How many cases each cluster has."""


def numbered(sizes: Numbers) -> Numbers:
    """Return the number of the cluster of each case. Shape: [cases]."""
    return np.repeat(np.arange(len(sizes)), sizes)


def draw_right(
    rng: np.random.Generator, sizes: Numbers, share: float, correlation: float
) -> NDArray[np.float64]:
    """Return right and wrong answers, correlated within clusters. Shape: [cases]."""
    if correlation == 0:
        shares = np.full(len(sizes), share)
    else:
        spread = (1 - correlation) / correlation
        shares = rng.beta(share * spread, (1 - share) * spread, len(sizes))
    return (rng.random(int(sizes.sum())) < np.repeat(shares, sizes)).astype(np.float64)


def covered(truth: float, draws: int, draw: Callable[[], Any]) -> float:
    """Return in how many of 100 draws the interval of an estimate holds the truth."""
    found = [draw() for _ in range(draws)]
    return 100 * float(np.mean([one.low <= truth <= one.high for one in found]))


def write_evaluation(folder: Path, cases: Sequence[CaseResult], **about: Any) -> Path:
    """Write the files of a finished evaluation, and return its folder."""
    defaults = {
        "name": folder.name,
        "model": {},
        "data": {},
        "settings": {"history": "own", "generation": {"max_new_tokens": 16}},
        "figures": figures(cases),
        "outcomes": outcomes(cases),
        "signatures": {"exact": "exact"},
        "versions": {},
        "seconds": 1.0,
    }
    results = Results.model_validate(defaults | about)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(results.model_dump_json(indent=2), encoding="utf-8")
    lines = "".join(case.model_dump_json() + "\n" for case in cases)
    (folder / "cases.jsonl").write_text(lines, encoding="utf-8")
    return folder


def case_result(record: str = "a", value: float | None = 1.0, **about: Any) -> CaseResult:
    """Return a case that `exact` scored with a value, or that failed without one."""
    scored = {
        "outcome": "failed" if value is None else "scored",
        "counts": None if value is None else (value, 1.0),
    }
    defaults = {
        "record": record,
        "turn": 0,
        "where": f"rows.jsonl:{record}",
        "scorer": "exact",
        "cluster": record,
        "question": "What is it?",
        "references": ("red",),
        "answer": None if value is None else "red",
        "digest": f"digest of {record}",
        **scored,
    }
    return CaseResult.model_validate(defaults | about)
