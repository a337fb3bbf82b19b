"""`compare`: what differs between two models on the same questions, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mmmodal.authoring.parts import Config, MMModalError
from mmmodal_eval.comparing.differences import Compared, RightOrWrong, compared
from mmmodal_eval.comparing.evaluations import Evaluation, read_evaluation
from mmmodal_eval.comparing.pairs import Pairs, pairs_of
from mmmodal_eval.results import Results
from mmmodal_eval.statistics.bootstrap import exchange_test
from mmmodal_eval.statistics.intervals import Estimate
from mmmodal_eval.statistics.significance import (
    cluster_signs,
    holm,
    mcnemar,
    smallest_difference,
    t_test,
)

__all__ = ["Comparison", "Difference", "Shared", "compare", "shared_of"]

Verdict = Literal["better", "worse", "no difference shown"]


class Difference(Config):
    """The figure of B minus that of A on the same questions."""

    scorer: str
    slice: dict[str, str]
    better: Literal["higher", "lower"]
    """Which figure is the better one."""

    cases: int
    clusters: int
    a: float
    b: float
    value: float
    """B minus A."""

    low: float | None
    high: float | None
    """The ends of the paired 95 % interval; None if there are too few clusters for one."""

    method: str
    gained: int | None
    """Answers that only B got right; None if scores are not right or wrong."""

    lost: int | None
    test: str
    p: float
    """The probability of a difference as large by chance."""

    p_holm: float | None
    """The same, corrected for the number of slices; None for all questions of a scorer."""

    p_mcnemar: float | None
    """That of McNemar's exact test, which takes the answers of a cluster for independent; it is
    `p` if each cluster has one case. None if scores are not right or wrong."""

    smallest: float | None
    """The smallest true difference that these data show in 8 of 10 cases."""

    verdict: Verdict
    """What B is: of a slice by `p_holm`, else by the interval."""


class Shared(Config):
    """What two evaluations share, and what they do not."""

    a: str
    """The name of the model that B is compared with."""

    b: str
    cases: int
    """Shared questions with a score of both, which alone are compared."""

    only_a: int
    only_b: int
    changed: int
    """Questions of the same record, turn and scorer that ask or expect something else."""

    unscored_a: int
    """Shared questions without a score of A alone: it failed to answer, or its scorer failed."""

    unscored_b: int
    unscored_both: int
    notes: tuple[str, ...]
    """What else differs: settings, signatures of scorers, and what is not compared."""


class Comparison(Config):
    """Two models on the same questions."""

    shared: Shared
    differences: tuple[Difference, ...]


def compare(a: Path, b: Path) -> Comparison:
    """Return the paired differences, B minus A, of each scorer and of slices of its questions.

    Args:
        a: the folder of results of the model to compare with, usually the older one.
        b: that of the other.

    Raises:
        MMModalError: a folder has no results, or the two share no question.
        RecordError: a file is not as an evaluation writes it.
        PartError: a scorer is not installed.
    """
    shared, pairs = shared_of(a, b)
    found = [difference for each in compared(pairs) for difference in _difference(each)]
    return Comparison(shared=shared, differences=tuple(_corrected(found)))


def shared_of(a: Path, b: Path) -> tuple[Shared, Pairs]:
    """Return what the evaluations in two folders share, and the pairs of their cases.

    Raises:
        MMModalError: a folder has no results, or the two share no question with a score of both.
        RecordError: a file is not as an evaluation writes it.
    """
    first, second = read_evaluation(a), read_evaluation(b)
    pairs = pairs_of(first.cases, second.cases)
    names = _names(first, second)
    shared = Shared(
        a=names[0],
        b=names[1],
        cases=len(pairs.shared),
        only_a=pairs.only_first,
        only_b=pairs.only_second,
        changed=pairs.changed,
        unscored_a=pairs.unscored_first,
        unscored_b=pairs.unscored_second,
        unscored_both=pairs.unscored_both,
        notes=(*_left_out(pairs, names), *_unlike(first.results, second.results, names)),
    )
    if not pairs.shared:
        raise MMModalError(_nothing_shared(first, second, shared))
    return shared, pairs


def _names(first: Evaluation, second: Evaluation) -> tuple[str, str]:
    """Return the names of both models, or their folders if the names are the same."""
    if first.results.name != second.results.name:
        return first.results.name, second.results.name
    return str(first.folder), str(second.folder)


def _nothing_shared(first: Evaluation, second: Evaluation, shared: Shared) -> str:
    scorers = [", ".join(sorted({case.scorer for case in one.cases})) for one in (first, second)]
    about = "; ".join(shared.notes) or "neither has a case"
    if scorers[0] != scorers[1]:
        about += f"; A is scored by {scorers[0] or 'nothing'}, B by {scorers[1] or 'nothing'}"
    return (
        f"{first.folder} and {second.folder} share no question with a score of both: {about}. "
        "Evaluate both models on the same data"
    )


def _left_out(pairs: Pairs, names: tuple[str, str]) -> Iterator[str]:
    numbers = {
        f"only in {names[0]}": pairs.only_first,
        f"only in {names[1]}": pairs.only_second,
        "in both, but not the same question": pairs.changed,
        f"without a score of {names[0]}": pairs.unscored_first,
        f"without a score of {names[1]}": pairs.unscored_second,
        "without a score of either": pairs.unscored_both,
    }
    for what, number in numbers.items():
        if number:
            yield f"{number} {'case is' if number == 1 else 'cases are'} {what}"


def _unlike(first: Results, second: Results, names: tuple[str, str]) -> Iterator[str]:
    for kind in ("settings", "signatures"):
        ours, theirs = (_flat(getattr(one, kind)) for one in (first, second))
        for key in dict.fromkeys((*ours, *theirs)):
            one, other = ours.get(key), theirs.get(key)
            if one != other:
                yield f"{kind} differ: {key} is {one} in {names[0]}, {other} in {names[1]}"


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else None
        flat |= {f"{before}{key}": value} if inner is None else inner
    return flat


def _difference(each: Compared) -> Iterator[Difference]:
    found = each.difference()
    if found is None:
        return
    a, b = each.figures()
    answers = each.right_or_wrong()
    test, p = _tested(each, found, answers)
    yield Difference(
        scorer=each.label,
        slice=each.slice,
        better=each.scorer.better,
        cases=found.cases,
        clusters=found.clusters,
        a=a,
        b=b,
        value=found.value,
        low=found.low,
        high=found.high,
        method=found.method,
        gained=answers.gained if answers else None,
        lost=answers.lost if answers else None,
        test=test,
        p=p,
        p_holm=None,
        p_mcnemar=mcnemar(answers.gained, answers.lost) if answers else None,
        smallest=smallest_difference(found),
        verdict=_verdict(each.scorer.better, found),
    )


def _tested(each: Compared, found: Estimate, answers: RightOrWrong | None) -> tuple[str, float]:
    """Return the test of a difference, and its probability by chance."""
    if answers is not None:
        alone = found.clusters == found.cases
        name = "exact McNemar" if alone else "exact signs of clusters"
        return name, cluster_signs(answers.sums)
    if found.clusters < 2:
        return "none, one cluster", 1.0
    if each.scorer.is_mean:
        return "t", t_test(found)
    return "exchange of clusters", exchange_test(each.scorer, *each.sums())


def _verdict(better: str, found: Estimate) -> Verdict:
    if found.low is None or found.high is None or found.low <= 0 <= found.high:
        return "no difference shown"
    return "better" if (found.value > 0) == (better == "higher") else "worse"


def _corrected(differences: list[Difference]) -> Iterator[Difference]:
    """Yield differences, those of slices with corrected probabilities and verdicts."""
    slices = [one for one in differences if one.slice]
    corrected = iter(holm([one.p for one in slices]))
    for one in differences:
        if not one.slice:
            yield one
            continue
        p = next(corrected)
        verdict = one.verdict if p < 0.05 else "no difference shown"
        yield one.model_copy(update={"p_holm": p, "verdict": verdict})
