"""`mmmodal train`: run one stage of training from a recipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click
from pydantic import BaseModel

from mmmodal.cli.output import example, talking


class RecipeCommand(click.Command):
    """A command whose help lists the keys of a recipe."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every key with its default and meaning."""
        from mmmodal.train.recipe import Recipe

        with formatter.section("Keys of a recipe"):
            formatter.write_dl(list(_rows(Recipe)))
        super().format_epilog(ctx, formatter)


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key with its default and meaning; the keys of a section follow the section."""
    from mmmodal.config import section_of

    for name, field in model.model_fields.items():
        section = section_of(model, name)
        shown = not (field.is_required() or section)
        default = f"  [default: {field.get_default(call_default_factory=True)}]" if shown else ""
        yield f"{prefix}{name}", f"{field.description or ''}{default}".strip()
        if section:
            yield from _rows(section, f"{prefix}{name}.")


@click.command(
    cls=RecipeCommand,
    epilog=example("mmmodal train align model=my-model data=captions.jsonl out=aligned"),
)
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--fresh", is_flag=True, help="Discard an interrupted run in `out` and start again.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--check",
    is_flag=True,
    help="Check parts, data and memory, and print the requirements, without training.",
)
@click.option(
    "--gpu-memory", metavar="SIZE", help="With --check: memory of each GPU, such as 80GB."
)
@click.option("--gpus", type=click.IntRange(1), help="With --check: the number of GPUs.")
def train(
    recipe: str,
    overrides: tuple[str, ...],
    fresh: bool,
    as_json: bool,
    check: bool,
    gpu_memory: str | None,
    gpus: int | None,
) -> None:
    """Train one stage: RECIPE is a name that `mmmodal recipes` lists, or a YAML file.

    model=FOLDER, data=FILE and out=FOLDER are needed; any other key of the recipe can be set in
    the same way: learning_rate=1e-4, train.lora.rank=8. After an interruption, run the same command
    again to resume.
    """
    if check:
        code = _check(recipe, overrides, gpu_memory, gpus, as_json)
        click.get_current_context().exit(code)
    if gpu_memory or gpus:
        raise click.UsageError("--gpu-memory and --gpus need --check")
    with talking():
        from mmmodal.train.recipe import load_recipe
        from mmmodal.train.stage.stage import run_stage

        outcome = run_stage(load_recipe(recipe, overrides), fresh=fresh)
    if as_json:
        row = {
            "finished": outcome.finished,
            "steps": outcome.steps,
            "loss": outcome.loss,
            "seconds": round(outcome.seconds, 3),
            "out": str(outcome.out),
            "trained_parameters": outcome.trained,
            "best_step": outcome.best_step,
            "evaluation": outcome.evaluation,
        }
        click.echo(json.dumps(row))
    elif outcome.finished:
        click.echo(str(outcome.out))
    if not outcome.finished:
        click.echo(
            f"Stopped by {outcome.interrupted_by} after step {outcome.steps}, with a checkpoint. "
            "Run the same command again to resume.",
            err=True,
        )
        sys.exit(130 if outcome.interrupted_by == "SIGINT" else 0)


def _check(
    recipe: str, overrides: tuple[str, ...], memory: str | None, gpus: int | None, as_json: bool
) -> int:
    """Print the check of a stage; return the exit code."""
    with talking():
        from mmmodal.cli.check import print_check
        from mmmodal.train.preflight.findings import Machine
        from mmmodal.train.preflight.preflight import check_recipe
        from mmmodal.train.recipe import load_recipe

        machine = Machine.found(_bytes(memory), gpus)
        checked = check_recipe(load_recipe(recipe, overrides), machine)
    print_check(checked, as_json)
    return 1 if checked.problems else 0


def _bytes(text: str | None) -> int | None:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    if text is None:
        return None
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise click.BadParameter(f"{text!r} is not a size such as 80GB") from None
