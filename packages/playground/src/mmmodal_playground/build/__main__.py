"""`python -m mmmodal_playground.build OUT`: train the parts, measure them, write checksums."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import click

from mmmodal_playground.build import hearing, language, translation, vision
from mmmodal_playground.build.fitting import Log
from mmmodal_playground.build.quality import MEASURES
from mmmodal_playground.parts import CHECKSUMS, PARTS, checksums

TRAINERS: dict[str, Callable[..., None]] = {
    "siglip": vision.train,
    "whisper": hearing.train,
    "llama": language.train,
    "translator": translation.train,
}

STEPS = {"siglip": 4000, "whisper": 3000, "llama": 3000, "translator": 2000}
"""The seed and steps of the shipped parts."""


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    default=PARTS,
    help="Train only this part; repeatable.",
)
@click.option("--steps", type=click.IntRange(1), help="The number of steps for each part.")
@click.option(
    "--go-on",
    "start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Continue the training of the llama part from the one in this folder.",
)
@click.option("--measure-only", is_flag=True, help="Measure existing parts, without training.")
def build(
    out: Path,
    seed: int,
    parts: tuple[str, ...],
    steps: int | None,
    start: Path | None,
    measure_only: bool,
) -> None:
    """Train the playground's parts into the folder OUT, with their logs and measured quality."""
    if start and parts != ("llama",):
        raise click.UsageError("--go-on needs --part llama, and no other part")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    out.mkdir(parents=True, exist_ok=True)
    quality_file = out / "quality.json"
    for part in parts:
        log_file = out / f"{part}.log"

        def log(line: str, log_file: Path = log_file) -> None:
            click.echo(line, err=True)
            with log_file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

        if not measure_only:
            if not start:
                log_file.unlink(missing_ok=True)
            _train(part, out, seed, steps or STEPS[part], start, log)
        measured = {key: round(value, 4) for key, value in MEASURES[part](out / part).items()}
        log(f"{part}: {json.dumps(measured)}")
        quality = json.loads(quality_file.read_text()) if quality_file.exists() else {}
        quality_file.write_text(json.dumps({**quality, part: measured}, indent=2) + "\n")
    (out / CHECKSUMS).write_text(json.dumps(checksums(out), indent=2) + "\n")
    click.echo(str(out))


def _train(part: str, out: Path, seed: int, steps: int, start: Path | None, log: Log) -> None:
    import torch

    continued = ", continued" if start else ""
    threads = torch.get_num_threads()
    log(f"{part}: seed {seed}, torch {torch.__version__}, {threads} threads{continued}")
    began = time.monotonic()
    more = {"start": start} if start else {}
    TRAINERS[part](out / part, seed=seed, steps=steps, log=log, **more)
    log(f"{part}: trained in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    build()
