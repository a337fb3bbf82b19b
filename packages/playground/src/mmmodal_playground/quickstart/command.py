"""`mmmodal quickstart`: compose, train, measure and talk, in one go."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from mmmodal.authoring.commands import talking
from mmmodal_playground.writing import writing

OUT = Path("quickstart")


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=OUT,
    show_default=True,
    help="Where everything is written; an interrupted quickstart goes on there.",
)
@click.option("--seed", default=0, show_default=True, help="Of the data and of the training.")
@click.option("--json", "as_json", is_flag=True, help="Print the accuracies as JSON.")
def quickstart(out: Path, seed: int, as_json: bool) -> None:
    """Make a model that sees and hears: compose it, train both stages, measure it, and talk.

    Its parts are tiny but trained and come with mmmodal-playground; nothing is downloaded. It
    learns from pictures of coloured shapes and phrases spoken in English and Malay, and is measured
    on conversations of which it saw and heard nothing before. Takes some minutes on two cores.
    """
    with talking(), writing(out, "make room and run the same command again: it goes on"):
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
    say(f"\nThe report: {out / 'report.html'}\nTalk with it: mmmodal chat {out / 'model'}")


def _print_accuracies(results: dict[str, Any]) -> None:
    from mmmodal.authoring.commands import print_table

    columns = {
        "task": "TASK",
        "n": "QUESTIONS",
        "accuracy": "ACCURACY",
        "stage1": "AFTER STAGE 1",
        "shuffled": "MEDIA SHUFFLED",
        "majority": "MAJORITY ANSWER",
    }
    rows = [
        {"task": task, **{k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()}}
        for task, row in results["tasks"].items()
    ]
    print_table(rows, columns)
    click.echo(f"trained in {results['seconds']:.0f} s")
