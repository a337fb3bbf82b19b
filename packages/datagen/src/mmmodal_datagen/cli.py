"""`mmmodal datagen`: the steps of the data pipeline."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def datagen() -> None:
    """Make training data out of simpler data."""


@datagen.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("audio", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--sessions", default=50_000, show_default=True, help="Sessions to make at most.")
@click.option("--p-image", default=0.6, show_default=True, help="How likely a row is an image's.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same sessions.")
def compose(images: Path, audio: Path, out: Path, sessions: int, p_image: float, seed: int) -> None:
    """Join records of IMAGES and AUDIO into sessions about 2 to 4 of them (paper §4.4).

    OUT lies in a folder that holds the folders of both, so that media stay under its root.
    """
    from mmmodal.conversation.writing import write_records
    from mmmodal.data.dataset import read_records
    from mmmodal_datagen.sessions import compose_sessions, moved

    pools = [
        [moved(record, path.parent, out.parent) for _, record in read_records(path)]
        for path in (images, audio)
    ]
    made = compose_sessions(pools, [p_image, 1 - p_image], sessions=sessions, seed=seed)
    count = write_records(made, out)
    click.echo(str(out))
    if count < sessions:
        click.echo(f"{count} of {sessions} sessions: a pool was used up", err=True)
