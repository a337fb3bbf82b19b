"""`mmmodal train`: one stage of training, from a recipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click
from pydantic import BaseModel

from mmmodal.cli.talking import talking


class RecipeCommand(click.Command):
    """A command whose help lists what a recipe can hold."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every key with its default and meaning."""
        from mmmodal.train.recipe import Recipe

        with formatter.section("Keys of a recipe"):
            formatter.write_dl(list(_rows(Recipe)))


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key with its default and meaning, those of sections after the section's own."""
    from mmmodal.config import section_of

    for name, field in model.model_fields.items():
        section = section_of(model, name)
        default = "" if field.is_required() or section else f" ({field.default})"
        yield f"{prefix}{name}", f"{field.description or ''}{default}".strip()
        if section:
            yield from _rows(section, f"{prefix}{name}.")


@click.command(cls=RecipeCommand)
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--fresh", is_flag=True, help="Forget an interrupted run in `out` and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
def train(recipe: str, overrides: tuple[str, ...], fresh: bool, as_json: bool) -> None:
    """Train one stage: RECIPE is align, instruct, lora or a YAML file.

    model=FOLDER, data=FILE and out=FOLDER are needed; any other key of the recipe can be set in
    the same way: learning_rate=1e-4, train.lora.rank=8. Run the same command again to go on after
    an interruption.
    """
    with talking():
        from mmmodal.train.recipe import load_recipe
        from mmmodal.train.stage import run_stage

        outcome = run_stage(load_recipe(recipe, overrides), fresh=fresh)
    if as_json:
        row = {
            "finished": outcome.finished,
            "steps": outcome.steps,
            "loss": outcome.loss,
            "seconds": round(outcome.seconds, 3),
            "out": str(outcome.out),
            "trained_parameters": outcome.trained,
        }
        click.echo(json.dumps(row))
    elif outcome.finished:
        click.echo(str(outcome.out))
    if not outcome.finished:
        click.echo(
            f"Stopped by {outcome.interrupted_by} after step {outcome.steps}, with a checkpoint. "
            "The same command goes on from there.",
            err=True,
        )
        sys.exit(130 if outcome.interrupted_by == "SIGINT" else 0)
