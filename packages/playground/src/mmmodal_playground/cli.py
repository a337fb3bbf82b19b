"""`mmmodal playground`: data and tiny parts to try everything with, made on the spot."""

from __future__ import annotations

from pathlib import Path

import click

from mmmodal.cli.talking import talking


@click.group()
def playground() -> None:
    """Make data and tiny parts to try everything with; nothing is downloaded."""


@playground.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--n", "number", default=200, show_default=True, help="Conversations to make.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same data.")
def make(out: Path, number: int, seed: int) -> None:
    """Write conversations about drawn scenes and beeps, with their media, to OUT."""
    from mmmodal_playground.world import make_records

    click.echo(str(make_records(out, number, seed)))


@playground.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True)
def parts(out: Path, seed: int) -> None:
    """Write tiny parts with random weights to OUT: siglip, whisper and three language models."""
    with talking():
        from mmmodal_playground.tiny import tiny_siglip, tiny_whisper
        from mmmodal_playground.tiny_language import FAMILIES, tiny_language_model

        made = [
            tiny_siglip(out / "siglip", seed=seed),
            tiny_whisper(out / "whisper", seed=seed),
            *(tiny_language_model(out / family, family, seed=seed) for family in FAMILIES),
        ]
    for folder in made:
        click.echo(str(folder))
