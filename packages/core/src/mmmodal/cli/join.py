"""`mmmodal join`: join two models with the same language model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmmodal.cli.output import example, talking


@click.command(epilog=example("mmmodal join with-images with-audio with-both"))
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def join(first: Path, second: Path, out: Path, as_json: bool) -> None:
    """Add the modalities of the model SECOND to FIRST, and write the result to the folder OUT.

    Both must have the same language model, as after two runs of align: one on images, one on
    sounds. The projectors and markers of both are kept; `mmmodal train instruct` then trains them
    together.
    """
    with talking():
        from mmmodal.making.joining import join as run

        model = run(first, second, out)
    names = list(model.config.modality_names)
    click.echo(json.dumps({"out": str(out), "modalities": names}) if as_json else str(out))
    click.echo(
        f"Next: mmmodal train instruct model={out} data=YOUR.jsonl out={out}-chatty", err=True
    )
