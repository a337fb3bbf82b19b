"""`mmmodal evaluate`: ask models the questions of a data set, and score their answers."""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmmodal.authoring.commands import (
    ParentCommand,
    data_argument,
    example,
    format_options,
    limit_option,
    loading_options,
    read_limits,
    talking,
    talking_options,
    with_progress,
)

if TYPE_CHECKING:
    from mmmodal.authoring.records import Format, Shards
    from mmmodal_eval.run.settings import EvaluationSettings

__all__ = ["evaluate"]


SUBCOMMANDS = {
    "compare": "mmmodal_eval.comparing.command",
    "gate": "mmmodal_eval.comparing.command",
}
"""The modules of the commands, which are imported when they are needed."""


def _subcommand(name: str) -> click.Command:
    command: click.Command = getattr(import_module(SUBCOMMANDS[name]), name)
    return command


@click.command(
    cls=ParentCommand,
    subcommands={name: functools.partial(_subcommand, name) for name in SUBCOMMANDS},
    epilog=example(
        "mmmodal evaluate my-model held-out.jsonl",
        "mmmodal evaluate before after held-out.jsonl --out results",
        "mmmodal evaluate compare results/before results/after",
    ),
)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@data_argument("DATA")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="evaluation",
    show_default=True,
    help="The folder for results: one folder in it for each model.",
)
@click.option(
    "--scorer",
    default="exact",
    show_default=True,
    help="How answers are scored, where the data do not say it.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set an option of --scorer; repeatable.",
)
@click.option(
    "--history",
    type=click.Choice(["own", "gold"]),
    default="own",
    show_default=True,
    help="The earlier answers that a turn reads: the model's own, or those of the data.",
)
@click.option(
    "--controls/--no-controls",
    default=None,
    help="Ask again with media exchanged, left out, and questions exchanged; by default, unless "
    "an endpoint is asked.",
)
@click.option("--rows", type=click.IntRange(1), help="Evaluate only the first conversations.")
@click.option("--skip-bad-rows", is_flag=True, help="Leave out bad rows, and count them.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="The number of conversations that a model folder answers together.",
)
@talking_options
@click.option("--seed", default=0, show_default=True, help="The seed of answers that are drawn.")
@loading_options
@click.option("--endpoint", metavar="URL", help="Ask a model behind an OpenAI-compatible endpoint.")
@click.option("--model", "served", metavar="NAME", help="With --endpoint: the name of the model.")
@click.option(
    "--api-key-env",
    default="OPENAI_API_KEY",
    show_default=True,
    help="With --endpoint: the environment variable that holds its key.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="With --endpoint: the maximum number of open calls.",
)
@click.option(
    "--kept",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of kept answers, which several evaluations may share; by default `kept` in "
    "--out.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of relative media paths; by default that of the data.",
)
@limit_option
@format_options("--format-set")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    models: tuple[str, ...],
    shards: Shards,
    out: Path,
    scorer: str,
    settings: tuple[str, ...],
    history: str,
    controls: bool | None,
    rows: int | None,
    skip_bad_rows: bool,
    kept: Path | None,
    root: Path | None,
    limits: tuple[str, ...],
    format: Format | None,
    root_maps: tuple[str, ...],
    as_json: bool,
    **asking: Any,
) -> None:
    """Evaluate models on DATA: ask all questions, score the answers, with intervals.

    MODEL is a folder, an adapter or a Hub id; DATA is what `mmmodal train` reads. An answer is
    compared with the text of its turn, or as `expect` in the data says. Every answer is kept: a
    run that was interrupted goes on where it was, and a finished one asks nothing again. A folder
    that is named as a command below is written `./compare`.
    """
    from mmmodal.authoring.ranks import joined, rank
    from mmmodal.authoring.records import scan
    from mmmodal_eval.answers.kept import KeptAnswers
    from mmmodal_eval.cli.models import AskedModels
    from mmmodal_eval.cli.tables import print_results
    from mmmodal_eval.run.evaluation import Evaluation
    from mmmodal_eval.run.questions import Questions
    from mmmodal_eval.run.reading import conversations_of
    from mmmodal_eval.run.session import evaluate_all

    with talking(), joined():
        asked = AskedModels(models, **asking)
        allowed = read_limits(limits)
        chosen = _settings(scorer, settings, history, controls, is_free=asked.endpoint is None)
        scanned = with_progress(scan(shards, format=format, root_maps=root_maps))
        conversations, skipped = conversations_of(scanned, root, rows, skip=skip_bad_rows)
        questions = Questions.of(shards.label, conversations, chosen, skipped=len(skipped))
        with KeptAnswers.opened(kept or out / "kept", allowed) as store:
            evaluation = Evaluation(questions, chosen, store)
            named = list(asked.named(store, allowed, chosen.history))
            found = evaluate_all(named, evaluation, out)
        is_first = rank() == 0
    if is_first:
        print_results(found, out, as_json=as_json)


def _settings(
    name: str, given: tuple[str, ...], history: Any, controls: bool | None, *, is_free: bool
) -> EvaluationSettings:
    """Return the settings of the options; by default, controls are asked where that is free."""
    from mmmodal.authoring.parts import apply_overrides
    from mmmodal_eval.parts import scorer_class
    from mmmodal_eval.run.settings import EvaluationSettings

    return EvaluationSettings(
        scorer=name,
        options=apply_overrides({}, given, scorer_class(name).Options),
        history=history,
        controls=is_free if controls is None else controls,
    )
