"""`mmmodal playground`: generate data to try all commands, and list the trained parts."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from mmmodal.authoring.commands import ParentCommand, example, talking
from mmmodal_playground.things import COLOURS, SHAPES, TALKS, Split, Thing
from mmmodal_playground.writing import writing


@click.group(epilog=example("mmmodal playground make data"))
def playground() -> None:
    """Generate data to try all commands, without downloads."""


@click.command(epilog=example("mmmodal playground make benchmark held-out --n 100"))
@click.argument("out", type=click.Path(path_type=Path), default="benchmark")
@click.option(
    "--n",
    "number",
    type=click.IntRange(1),
    default=25,
    show_default=True,
    help="The number of conversations of each of the six tasks and both languages.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same data.")
def benchmark(out: Path, number: int, seed: int) -> None:
    """Write held-out conversations for `mmmodal evaluate` to OUT, by default `benchmark`.

    They are about several pictures, several clips, both, and earlier turns. Each is in English and
    in Malay; the two are one cluster. Tags name the task and the kind of question.
    """
    from mmmodal_playground.records import make_benchmark

    with talking(), writing(out):
        path = make_benchmark(out, number, seed)
    click.echo(str(path))


@playground.command(
    cls=ParentCommand,
    subcommands={"benchmark": lambda: benchmark},
    epilog=example("mmmodal playground make data --n 100"),
)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(get_args(Split)),
    default="train",
    show_default=True,
    help="test has scenes, phrases and pairs that train does not have.",
)
@click.option(
    "--n",
    "number",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="The number of conversations.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same data.")
def make(out: Path, split: Split, number: int, seed: int) -> None:
    """Write conversations about drawn scenes and spoken phrases, with their media, to OUT.

    A folder that is named as the command below is written `./benchmark`.
    """
    from mmmodal_playground.records import make_records

    with talking(), writing(out):
        path = make_records(out, number, seed, split)
    click.echo(str(path))


@playground.command(epilog=example("mmmodal playground raw recordings"))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--n",
    "number",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="The number of recordings, half in Malay, with 16 pictures for each.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same data.")
def raw(out: Path, number: int, seed: int) -> None:
    """Write recordings of speech and pictures with captions to OUT, for a data pipeline."""
    from mmmodal_playground.sources import make_sources

    with talking(), writing(out):
        path = make_sources(out, number, seed)
    click.echo(str(path))


@playground.command(epilog=example("mmmodal playground serve --port 8765"))
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65_535))
def serve(port: int) -> None:
    """Serve the language model part by OpenAI's protocol, on this machine, until Ctrl-C.

    It only knows the playground's world. Questions come from a list, answers from the model.
    """
    import threading

    from mmmodal_playground.serving.server import serving

    with serving(port) as address:
        click.echo(address)
        threading.Event().wait()


@playground.command(epilog=example("mmmodal playground draw red circle a.png"))
@click.argument("colour", type=click.Choice(list(COLOURS)))
@click.argument("shape", type=click.Choice(SHAPES))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seed", default=0, show_default=True, help="The seed of place and size.")
def draw(colour: str, shape: str, out: Path, seed: int) -> None:
    """Draw one shape to the PNG file OUT."""
    import random

    from mmmodal_playground.scenes import draw_scene, single_scene

    scene = single_scene(Thing(colour, shape), "test", random.Random(seed))
    with writing(out):
        draw_scene(scene).save(out, format="PNG")
    click.echo(str(out))


@playground.command(epilog=example('mmmodal playground say "seven red stars" a.wav --lang en'))
@click.argument("text")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--lang", type=click.Choice(list(TALKS)), default="en", show_default=True)
@click.option("--voice", help="A voice of espeak-ng, such as en-us+f3, instead of a random one.")
@click.option("--seed", default=0, show_default=True, help="The seed of voice, speed and pitch.")
def say(text: str, out: Path, lang: str, voice: str | None, seed: int) -> None:
    """Speak TEXT to the WAV file OUT."""
    import random
    from dataclasses import replace

    from mmmodal_playground.speech import any_voice, save_speech

    chosen = any_voice(lang, random.Random(seed))
    with writing(out):
        save_speech(out, text, replace(chosen, name=voice) if voice else chosen)
    click.echo(str(out))


@playground.command(epilog=example("mmmodal playground parts --json"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def parts(as_json: bool) -> None:
    """List the trained parts of this package, with their measured quality."""
    from mmmodal.authoring.commands import print_json, print_table
    from mmmodal_playground.parts import PARTS, part_folder, part_quality

    rows = [
        {
            "name": name,
            "megabytes": round(sum(f.stat().st_size for f in folder.iterdir()) / 1e6, 1),
            "quality": part_quality(name),
            "folder": str(folder),
        }
        for name, folder in ((name, part_folder(name)) for name in PARTS)
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        quality: dict[str, float] = row["quality"]  # type: ignore[assignment]
        row["quality"] = f"{min(quality.values()):.2f} to {max(quality.values()):.2f}"
    headings = {"name": "PART", "megabytes": "MB", "quality": "ACCURACY", "folder": "FOLDER"}
    print_table(rows, headings)
