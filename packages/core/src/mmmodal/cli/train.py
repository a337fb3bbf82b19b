"""`mmmodal train`: one stage of training, from a recipe."""

from __future__ import annotations

import json
import sys

import click

from mmmodal.cli.talking import talking


class RecipeCommand(click.Command):
    """A command whose help lists what a recipe can hold."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every key with its default and meaning."""
        from mmmodal.train.recipe import Recipe

        rows = []
        for name, field in Recipe.model_fields.items():
            default = "" if field.is_required() else f" ({field.default})"
            rows.append((name, f"{field.description or ''}{default}".strip()))
        with formatter.section("Keys of a recipe"):
            formatter.write_dl(rows)


@click.command(cls=RecipeCommand)
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--fresh", is_flag=True, help="Forget an interrupted run in `out` and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
def train(recipe: str, overrides: tuple[str, ...], fresh: bool, as_json: bool) -> None:
    """Train one stage: RECIPE is align, instruct or a YAML file.

    model=FOLDER, data=FILE and out=FOLDER are needed; any other key of the recipe can be set in
    the same way. Run the same command again to go on after an interruption.
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
