"""`mmmodal quickstart`: compose, train, measure and demonstrate a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from mmmodal.authoring.commands import example, talking
from mmmodal_playground.writing import writing

OUT = Path("quickstart")


@click.command(epilog=example("mmmodal quickstart --out my-quickstart"))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=OUT,
    show_default=True,
    help="The folder for all files; an interrupted quickstart is resumed from there.",
)
@click.option("--seed", default=0, show_default=True, help="The seed of data and training.")
@click.option("--json", "as_json", is_flag=True, help="Print the accuracies as JSON.")
def quickstart(out: Path, seed: int, as_json: bool) -> None:
    """Make a model for pictures and speech: compose it, train both stages, measure it, and chat.

    Its parts are tiny trained models in mmmodal-playground; nothing is downloaded. It is trained on
    pictures of coloured shapes and on phrases spoken in English and Malay, and is measured on
    held-out conversations. This takes some minutes on two cores.
    """
    with talking(), writing(out, "make room, and run the same command again to resume"):
        from mmmodal_playground.quickstart.demonstration import demonstrate
        from mmmodal_playground.quickstart.results import results_of
        from mmmodal_playground.quickstart.steps import Interrupted, Quickstart

        run = Quickstart(out, seed, lambda line: click.echo(line, err=True))
        try:
            results = results_of(run)
        except Interrupted as stop:
            click.echo(str(stop), err=True)
            sys.exit(130 if stop.signal == "SIGINT" else 0)
        talk = demonstrate(out)
    if as_json:
        click.echo(json.dumps(results))
        say = partial(click.echo, err=True)
    else:
        _print_accuracies(results)
        say = partial(click.echo, err=False)
    for line in talk:
        say(line)
    say(f"\nThe report: {out / 'report.html'}\nChat with the model: mmmodal chat {out / 'model'}")


def _print_accuracies(results: dict[str, Any]) -> None:
    from mmmodal.authoring.commands import print_table

    columns = {
        "task": "TASK",
        "n": "QUESTIONS",
        "accuracy": "ACCURACY",
        "interval": "95 % INTERVAL",
        "stage1": "AFTER STAGE 1",
        "shuffled": "MEDIA SHUFFLED",
        "majority": "MAJORITY ANSWER",
    }
    rows = [
        {"task": task, "interval": _interval(row), **{k: _number(v) for k, v in row.items()}}
        for task, row in results["tasks"].items()
    ]
    print_table(rows, columns)
    click.echo(f"trained in {results['seconds']:.0f} s")


def _number(value: Any) -> Any:
    return f"{value:.3f}" if isinstance(value, float) else value


def _interval(row: Mapping[str, Any]) -> str:
    """Return the interval of an accuracy; of too few conversations there is none."""
    return "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
