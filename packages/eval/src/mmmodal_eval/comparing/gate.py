"""`gate`: refuse a model that is worse than another by more than is allowed, for sure."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmmodal.authoring.parts import Config, MMModalError, suggest
from mmmodal_eval.comparing.comparison import Shared, shared_of
from mmmodal_eval.comparing.differences import Compared, compared
from mmmodal_eval.statistics.intervals import Estimate

__all__ = ["Check", "Gate", "check", "gate"]


class Check(Config):
    """One difference that a gate looks at."""

    scorer: str
    slice: dict[str, str]
    better: Literal["higher", "lower"]
    cases: int
    clusters: int
    value: float
    """The figure of B minus that of A, on the same questions."""

    low: float | None
    high: float | None
    """The ends of the paired interval; None if there are too few clusters for one."""

    allowed: float
    """The loss that is allowed, in the unit of the figure."""

    method: str
    verdict: Literal["passes", "worse", "cannot tell"]
    """`worse`: the whole interval lies beyond the allowed loss; `cannot tell`: there is none."""


class Gate(Config):
    """Whether a model may take the place of another."""

    passes: bool
    level: float
    """The level of the intervals: 0.95 for one check; higher for several, so that a model as good
    fails by chance no more often."""

    shared: Shared
    checks: tuple[Check, ...]


def gate(
    a: Path, b: Path, allow: float = 0.0, *, scorer: str | None = None, slices: bool = False
) -> Gate:
    """Return whether B passes: no check shows that it is worse than A by more than is allowed.

    Args:
        a: the folder of results of the model to compare with.
        b: that of the model that is to pass.
        allow: the loss that is allowed, of figures from 0 to 1; 0.01 is one point. Figures up to
            100 may lose a hundred times as much.
        scorer: the scorer to look at; None: each is a check.
        slices: whether each slice is a check too.

    Raises:
        MMModalError: a folder has no results, the two share no question, or none of that scorer.
        RecordError: a file is not as an evaluation writes it.
        PartError: a scorer is not installed.
    """
    shared, pairs = shared_of(a, b)
    every = list(compared(pairs))
    labels = list(dict.fromkeys(each.label for each in every))
    if scorer is not None and scorer not in labels:
        known = ", ".join(labels)
        raise MMModalError(f"no scorer {scorer!r} here: {known}{suggest(scorer, labels)}")
    chosen = [each for each in every if scorer in (None, each.label) and (slices or not each.slice)]
    level = 1 - 0.05 / len(chosen)
    checks = tuple(found for each in chosen if (found := check(each, allow, level)) is not None)
    if not checks:
        raise MMModalError(f"no figure of {shared.a} and {shared.b} is defined on what they share")
    passes = all(found.verdict != "worse" for found in checks)
    return Gate(passes=passes, level=level, shared=shared, checks=checks)


def check(each: Compared, allow: float, level: float = 0.95) -> Check | None:
    """Return what a gate finds of one difference; None if a figure is not defined, as of no words.

    Args:
        each: the answers of both models to the same questions.
        allow: the loss that is allowed, of figures from 0 to 1.
        level: the level of the interval.
    """
    found = each.difference(level)
    if found is None:
        return None
    allowed = allow * (100 if each.scorer.unit == "points" else 1)
    return Check(
        scorer=each.label,
        slice=each.slice,
        better=each.scorer.better,
        cases=found.cases,
        clusters=found.clusters,
        value=found.value,
        low=found.low,
        high=found.high,
        allowed=allowed,
        method=found.method,
        verdict=_verdict(each.scorer.better, found, allowed),
    )


def _verdict(
    better: str, found: Estimate, allowed: float
) -> Literal["passes", "worse", "cannot tell"]:
    if found.low is None or found.high is None:
        return "cannot tell"
    least_loss = -found.high if better == "higher" else found.low
    return "worse" if least_loss > allowed else "passes"
