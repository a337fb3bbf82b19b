"""What a person reads of results: a table of figures, what each modality adds, outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mmmodal.authoring.commands import counted, print_json, print_table
from mmmodal_eval.parts import scorer_class
from mmmodal_eval.results import Figure, Gain, Results
from mmmodal_eval.run.evaluation import Evaluated

__all__ = ["print_results"]


def print_results(found: Sequence[Evaluated], out: Path, *, as_json: bool) -> None:
    """Print the results of all models, as tables or JSON, and where they are."""
    if as_json:
        print_json([_json(each, out) for each in found])
    else:
        _print_tables(found)
    for each in found:
        click.echo(f"Results: {out / each.results.name}", err=True)


def _json(evaluated: Evaluated, out: Path) -> dict[str, Any]:
    return {
        **evaluated.results.model_dump(mode="json"),
        "folder": str(out / evaluated.results.name),
        "conversations_asked": evaluated.asked,
        "seconds": round(evaluated.seconds, 3),
    }


def _print_tables(found: Sequence[Evaluated]) -> None:
    several = len(found) > 1
    heading = {"model": "MODEL"} if several else {}
    columns = {"scorer": "SCORER", "slice": "OF", "cases": "CASES", "value": "FIGURE"}
    columns |= {"interval": "95 % INTERVAL"}
    results = [each.results for each in found]
    figures = [row for each in results for row in _rows(each, _as_asked(each))]
    print_table(figures, {**heading, **columns})
    if gains := [row for each in results for row in _rows(each, _of_all(each))]:
        click.echo(
            "\nWhat media and questions add: the figure as asked, minus that under a control\n"
        )
        columns |= {"control": "CONTROL", "value": "GAIN"}
        shown = ("scorer", "control", "cases", "value", "interval")
        print_table(gains, {**heading, **{key: columns[key] for key in shown}})
    click.echo()
    for each in results:
        click.echo(f"{each.name + ': ' if several else ''}{_outcomes(each)}")


def _as_asked(results: Results) -> list[Figure]:
    return [figure for figure in results.figures if figure.control is None]


def _of_all(results: Results) -> list[Gain]:
    return [gain for gain in results.gains if not gain.slice]


def _rows(results: Results, figures: Sequence[Figure | Gain]) -> Iterator[Mapping[str, Any]]:
    for figure in figures:
        unit = scorer_class(figure.scorer.partition(" ")[0]).unit
        ends = figure.low, figure.high
        is_known = None not in ends
        yield {
            "model": results.name,
            "scorer": figure.scorer,
            "control": figure.control,
            "slice": " ".join(f"{k}={v}" for k, v in figure.slice.items()) or "all",
            "cases": f"{figure.cases:,}",
            "value": _number(figure.value, unit),
            "interval": " to ".join(_number(e or 0.0, unit) for e in ends) if is_known else "",
        }


def _number(value: float, unit: str) -> str:
    return f"{value:.1f}" if unit == "points" else f"{value:.1%}"


def _outcomes(results: Results) -> str:
    """Return how many answers came to what, and which are in no figure."""
    listed = [f"{number:,} {name}" for name, number in results.outcomes.items() if number]
    skipped = results.data["skipped"]
    rows = f"; {counted(skipped, 'bad row')} left out" if skipped else ""
    return f"{counted(results.data['cases'], 'answer')}: {', '.join(listed)}{rows}"
