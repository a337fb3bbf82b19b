"""`mmmodal data cache`: compute the features of frozen towers before a training."""

from __future__ import annotations

import click

from mmmodal.cli.options import json_option
from mmmodal.cli.output import example, print_json, talking

__all__ = ["cache_command"]


@click.command(
    epilog=example("mmmodal data cache align model=my-model data=captions.jsonl out=cached")
)
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
def cache_command(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Compute the features of a training's media with its frozen towers, and store them.

    RECIPE and the keys are those of `mmmodal train`, with feature_cache=FOLDER. Training does the
    same before its first step; this command is for machines that only compute features, and to
    see their size in advance.
    """
    with talking():
        from mmmodal.errors import ConfigError
        from mmmodal.train.recipe import load_recipe
        from mmmodal.train.stage.stage import cache_features

        chosen = load_recipe(recipe, overrides)
        if chosen.feature_cache is None:
            raise ConfigError("recipe", ["'feature_cache' is missing: the folder for features"])
        stores = cache_features(chosen)
    if as_json:
        rows = {name: {"media": len(s), "folder": str(s.folder)} for name, s in stores.items()}
        print_json(rows)
        return
    for store in stores.values():
        click.echo(f"{store.folder}: {len(store):,} media")
