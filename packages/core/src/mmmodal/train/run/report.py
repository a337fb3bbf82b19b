"""A stage's report: one HTML file that loads no other files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import median
from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from mmmodal.errors import CheckpointError
from mmmodal.files import write_whole
from mmmodal.ranks import rank
from mmmodal.reports.curves import figure_chart, loss_chart
from mmmodal.reports.pieces import brand, card, duration, fact_rows, figure_list, page
from mmmodal.train.run.folder import METRICS, VERSIONS

if TYPE_CHECKING:
    from mmmodal.train.recipe import Recipe

__all__ = ["REPORT", "report_stage", "write_report"]

REPORT = "report.html"
"""The report's name in the folder of a run."""

CURVES = {
    "tokens_per_second": ("Throughput", "Tokens per second, without padding.", "tokens/s"),
    "utilisation": ("Packing", "The share of a batch's capacity that holds tokens.", "share"),
    "learning_rate": ("Learning rate", "The rate of the first trained part.", "rate"),
    "grad_norm": ("Gradient", "The norm of the gradient before clipping.", "norm"),
}
"""The logged figures to draw besides the loss."""

Row = Mapping[str, Any]


def report_stage(
    recipe: Recipe,
    run: Path,
    counts: Sequence[tuple[int | None, int | None]],
    trained: Mapping[str, int],
    best: int | None = None,
) -> None:
    """Write the report of a finished stage on one process, and print its path."""
    if rank() != 0:
        return
    path = write_report(
        run,
        recipe,
        metrics=run / METRICS,
        mix=[
            (str(source.path), size, source.weight, count)
            for source, (size, count) in zip(recipe.data, counts, strict=True)
        ],
        trained=trained,
        versions={name: version(name) for name in VERSIONS},
        best=best,
    )
    print(f"Report: {path}", file=sys.stderr)


def write_report(
    run: Path,
    recipe: Recipe,
    *,
    metrics: Path,
    mix: Sequence[tuple[str, int | None, float, int | None]],
    trained: Mapping[str, int],
    versions: Mapping[str, str],
    best: int | None = None,
) -> Path:
    """Write the report of a run into its folder, whole or not at all; return its path.

    Args:
        run: the folder of the run.
        recipe: the recipe.
        metrics: the logged metrics, in JSON lines.
        mix: the name, records, weight and records in an epoch of each data file; None: unknown.
        trained: the number of trained parameters of each part.
        versions: the versions of packages.
        best: the step whose weights were written by `keep_best`.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        name = recipe.out.name or str(recipe.out)
        body = Template(_resource("report.html")).substitute(
            brand=brand(f"MMModal training: {name}"),
            headline=_headline(rows, trained),
            curves="".join(_curves(rows)),
            mix="".join(map(_mix_row, mix)),
            facts=fact_rows({**_facts(rows, recipe, trained, best), **versions}),
            recipe=escape(_recipe_text(recipe)),
        )
        write_whole(run / REPORT, page(f"{name}: how it was trained", body))
        return run / REPORT
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or run / REPORT} cannot be written or read ({error.strerror}); the "
            "model was saved, but there is no report"
        ) from None


def _resource(name: str) -> str:
    return (files("mmmodal.train.run") / name).read_text(encoding="utf-8")


def _headline(rows: Sequence[Row], trained: Mapping[str, int]) -> str:
    losses = [row["loss"] for row in rows if "loss" in row]
    shown = f"{losses[-1]:.3g}" if losses else "–"
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    figures = {
        "Trained": f"{_millions(sum(trained.values()))} parameters",
        "Steps": f"{max((row['step'] for row in rows), default=0):,}",
        "Took": duration(_seconds(rows)),
    }
    if speeds:
        figures["Speed"] = f"{median(speeds):,.0f} tokens/s<small>median</small>"
    before = f", from {losses[0]:.3g}" if losses else ""
    return (
        f'<h1><span class="number">{shown}</span> is the loss at the end{before}</h1>'
        f"{figure_list(figures)}"
    )


def _curves(rows: Sequence[Row]) -> Iterable[str]:
    about = "The mean loss of the answers' tokens. The scale is logarithmic."
    yield card("Loss", about, loss_chart(rows, "Loss"))
    for key, (title, meaning, unit) in CURVES.items():
        if any(key in row for row in rows):
            yield card(title, meaning, figure_chart(rows, key, title, unit))
    yield from _evaluations(rows)


def _evaluations(rows: Sequence[Row]) -> Iterable[str]:
    """Yield a curve of the loss on held-out records, and of each figure of their answers."""
    evaluated = [row for row in rows if "eval_loss" in row]
    if evaluated:
        chart = loss_chart(evaluated, "Held-out loss", "eval_loss")
        yield card("Held-out loss", "The same on records that are not trained on.", chart)
    for name in _figures(evaluated):
        title = f"Held-out {name.removeprefix('eval_')}"
        chart = figure_chart(evaluated, name, title, name.removeprefix("eval_"), dots=True)
        yield card(title, "Of the answers to records that are not trained on.", chart)


def _figures(evaluated: Sequence[Row]) -> list[str]:
    """Return the names of figures of answers that every evaluation has: not of odd outcomes."""
    names = evaluated[0] if evaluated else ()
    return [
        name
        for name in names
        if name.startswith("eval_") and name not in ("eval_loss", "eval_seconds")
        if all(name in row for row in evaluated)
    ]


def _mix_row(row: tuple[str, int | None, float, int | None]) -> str:
    name, records, weight, count = row
    cells = "".join(f'<td class="number">{cell}</td>' for cell in (
        _number(records), f"{weight:g}", _number(count),
    ))  # fmt: skip
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'


def _number(count: int | None) -> str:
    return "streamed" if count is None else f"{count:,}"


def _facts(
    rows: Sequence[Row], recipe: Recipe, trained: Mapping[str, int], best: int | None
) -> dict[str, str]:
    parts = ", ".join(f"{part} {count:,}" for part, count in trained.items())
    facts = {"Started from": str(recipe.model), "Trained": parts}
    skipped = sum(int(row.get("skipped_rows", 0)) for row in rows)
    if skipped:
        facts["Rows left out"] = f"{skipped:,}"
    evaluated = [row for row in rows if "eval_loss" in row]
    if evaluated:
        names = ", ".join(source.path for source in recipe.eval)
        took = duration(sum(row["eval_seconds"] for row in evaluated))
        facts["Evaluated on"] = f"{names}, {len(evaluated):,} times in {took}"
    if best is not None:
        facts["Written"] = f"the weights of step {best:,}, the best by {recipe.keep_best}"
    waited = [row["waiting_seconds"] for row in rows if "waiting_seconds" in row]
    if waited:
        facts["Waited for data"] = duration(sum(waited))
    return facts


def _recipe_text(recipe: Recipe) -> str:
    values = recipe.model_dump(mode="json", exclude_defaults=True)
    values["train"]["parts"] = sorted(recipe.train.parts)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)


def _seconds(rows: Sequence[Row]) -> float:
    """Return the total duration of a run, which may have been interrupted."""
    return sum(float(row.get("train_runtime", 0.0)) for row in rows)


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f}&thinsp;M" if count >= 1e4 else f"{count:,}"
