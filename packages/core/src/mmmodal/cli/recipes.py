"""`mmmodal recipes`: list the recipes, and copy one to edit it."""

from __future__ import annotations

from pathlib import Path

import click

from mmmodal.cli.output import example, print_json, print_table


@click.group(invoke_without_command=True, epilog=example("mmmodal recipes --json"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every recipe's values.")
@click.pass_context
def recipes(context: click.Context, as_json: bool) -> None:
    """List the recipes of core and plugins; `mmmodal train` accepts their names."""
    if context.invoked_subcommand is not None:
        return
    from mmmodal.config import read_yaml
    from mmmodal.files import about
    from mmmodal.plugins import registry

    found = [item for _, items in sorted(registry().recipes.items()) for item in items]
    rows = [{"name": r.name, "package": r.package, "about": about(r.path)} for r in found]
    if as_json:
        details = [{"path": str(item.path), "values": read_yaml(item.path)} for item in found]
        print_json([row | more for row, more in zip(rows, details, strict=True)])
    else:
        for row in rows:
            row["about"] = row["about"].partition(". ")[0]
        print_table(rows, {"name": "RECIPE", "package": "PACKAGE", "about": "WHAT IT IS"})


@recipes.command(epilog=example("mmmodal recipes copy align my-align.yaml"))
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
def copy(name: str, path: Path) -> None:
    """Copy the recipe NAME to the new file PATH, to edit it there."""
    from mmmodal.train.recipe.files import copy_recipe

    copy_recipe(name, path)
    click.echo(str(path))
    click.echo(f"Next: mmmodal train {path} model=… data=… out=… --check", err=True)


@recipes.command(epilog=example("mmmodal recipes show align"))
@click.argument("name")
def show(name: str) -> None:
    """Print the recipe NAME."""
    from mmmodal.train.recipe.files import find_recipe

    click.echo(find_recipe(name).path.read_text(encoding="utf-8"), nl=False)
