"""The reports that commands write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mmmodal.authoring.media import LimitSettings
from mmmodal.authoring.parts import MMModalError
from mmmodal_eval.cases import Conversation
from mmmodal_eval.comparing.comparison import Comparison, compare
from mmmodal_eval.comparing.evaluations import Evaluation, read_evaluation
from mmmodal_eval.reports.report import REPORT, is_current, write_report
from mmmodal_eval.run.evaluation import Evaluated

__all__ = ["report_comparison", "report_evaluated"]


def report_evaluated(
    found: Sequence[Evaluated],
    out: Path,
    conversations: Sequence[Conversation],
    limits: LimitSettings,
) -> None:
    """Write the report of what was evaluated, if there is none of the same results; print its path.

    It lies beside the results of one model; that of several, which compares all with the first, in
    the folder of all.

    Raises:
        MMModalError: it cannot be written.
    """
    evaluations = [Evaluation(out / e.results.name, e.results, e.cases) for e in found]
    if not evaluations:
        return
    path = (evaluations[0].folder if len(evaluations) == 1 else out) / REPORT
    if any(each.asked for each in found) or not is_current(path, evaluations):
        write_report(
            path,
            evaluations,
            conversations=conversations,
            comparisons=list(_comparisons(evaluations)),
            limits=limits,
        )
    click.echo(f"Report: {path}", err=True)


def _comparisons(evaluations: Sequence[Evaluation]) -> Iterator[Comparison]:
    first, *others = evaluations
    for other in others:
        try:
            yield compare(first.folder, other.folder)
        except MMModalError as error:  # they may have no answered question in common
            click.echo(f"Note: no comparison in the report: {error}", err=True)


def report_comparison(path: Path, a: Path, b: Path, found: Comparison) -> None:
    """Write the report of two evaluations, and print its path.

    Raises:
        MMModalError: it cannot be written.
    """
    names = found.shared.a, found.shared.b
    evaluations = [
        Evaluation(each.folder, each.results.model_copy(update={"name": name}), each.cases)
        for each, name in zip(map(read_evaluation, (a, b)), names, strict=True)
    ]
    write_report(path, evaluations, comparisons=[found])
    click.echo(f"Report: {path}", err=True)
