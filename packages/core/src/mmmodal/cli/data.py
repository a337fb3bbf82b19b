"""`mmmodal data`: check, count, convert and preview training data, and cache its features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mmmodal.cli.caching import cache_command
from mmmodal.cli.guess import guess_command
from mmmodal.cli.options import (
    data_argument,
    json_option,
    known_format,
    limit_option,
    read_limits,
    reading_options,
    root_option,
    thoughts_option,
)
from mmmodal.cli.output import example, print_json, talking
from mmmodal.cli.preview import preview_command
from mmmodal.cli.scanning import below, counted, records_of, with_progress
from mmmodal.cli.stats import stats_command

if TYPE_CHECKING:
    from mmmodal.contracts import Format
    from mmmodal.records.placement import MediaPlace
    from mmmodal.records.shard import Shards
    from mmmodal.samples.template_check import TemplateCheck

MOST_KEYS = 20  # of one file's rows that are printed


@click.group(epilog=example("mmmodal data check captions.jsonl"))
def data() -> None:
    """Check, count, convert and preview training data, and cache the features of its media.

    PATH is a file of JSON lines, a JSON list, Parquet, Arrow, CSV, TSV or tar; a folder of such
    shards, of MDS or saved by `datasets`; a pattern such as 'shards/{000..123}.tar'; a data set
    of the Hub, by its id or as hf://datasets/namespace/name[@revision][/pattern]; or a
    dataset_info.json of LLaMA-Factory, with --name. The format of its rows is found by their keys
    (see `mmmodal formats`); `guess` looks at others.
    """


@data.command(epilog=example("mmmodal data check captions.jsonl --root images"))
@reading_options
@data_argument("PATH")
@root_option
@click.option(
    "--media/--no-media", default=True, show_default=True, help="Read every medium, or rows only."
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="A composed model's folder: also check what its chat template makes of each conversation.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="With --model: refuse rows of which an answer or a system text would not be learned.",
)
@thoughts_option
@click.option(
    "--workers",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="The number of threads that read media.",
)
@limit_option
@json_option
@click.pass_context
def check(
    context: click.Context,
    shards: Shards,
    root: Path | None,
    media: bool,
    model: Path | None,
    strict: bool,
    thoughts: Literal["keep", "drop"],
    workers: int,
    limits: tuple[str, ...],
    format: Format | None,
    root_maps: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print every error in PATH with its line; exit with 1 if there is one.

    A row that names media, turns or tools under a key that its format does not read is an error.
    Other keys that are not used are kept in `meta`; the number of their rows is printed.
    """
    if strict and model is None:
        raise click.UsageError("--strict needs --model, whose chat template it asks")
    template = None if model is None else _template_check(model, thoughts, strict)
    from mmmodal.records.checker import Checker
    from mmmodal.records.dataset import scan

    checker = Checker(root, media=media, limits=read_limits(limits))
    records = 0
    errors: list[dict[str, str]] = []
    unused: Counter[str] = Counter()
    scanned = with_progress(scan(shards, format=format, root_maps=root_maps, root=root))
    for item, found in checker.check(scanned, workers):
        records += item.record is not None
        unused.update(item.unused if item.part == 0 else ())
        if template is not None and item.record is not None:
            found.extend(template.problems(item.record, item.row.where))
        for error in found:
            errors.append({"where": error.where, "reason": error.reason})
            if not as_json:
                click.echo(str(error))
    if not records and not errors:
        errors.append({"where": shards.label, "reason": "it has no records"})
        if not as_json:
            click.echo("{where}: {reason}".format(**errors[0]))
    if as_json:
        print_json({"records": records, "errors": errors, "unused": dict(sorted(unused.items()))})
    else:
        if unused:
            click.echo(f"not used, kept in meta: {_keys(unused)}")
        click.echo(f"{counted(records, 'record')}, {counted(len(errors), 'error')}")
    if template is not None and template.affected and not strict:
        affected = f"{counted(template.affected, 'record')} not learned whole"
        click.echo(f"Warning: {affected}, such as {template.example}", err=True)
    if errors:
        context.exit(1)


def _template_check(model: Path, thoughts: Literal["keep", "drop"], strict: bool) -> TemplateCheck:
    """Return the check of a model's chat template, after telling what is known of the template."""
    with talking():
        from mmmodal.conversation.differences import differences
        from mmmodal.making.loading import load_processor
        from mmmodal.samples.template_check import TemplateCheck

        preparer = load_processor(model).preparer
        preparer.learn(thoughts)
        for difference in differences(preparer.renderer):
            click.echo(f"Warning: {difference}", err=True)
    return TemplateCheck(preparer, strict=strict)


@data.command(epilog=example("mmmodal data convert llava.json captions.jsonl"))
@reading_options
@data_argument("IN")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", default="native", show_default=True, metavar="FORMAT", callback=known_format)
@click.option(
    "--media",
    default="keep",
    show_default=True,
    type=click.Choice(["keep", "embed", "files"]),
    help="Leave media where they are, write them into the rows, or as files beside OUT.",
)
@root_option
@click.option(
    "--shard-records",
    type=click.IntRange(min=1),
    help="Write several files of so many records: OUT-000000.tar, and so on.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out bad rows, and print their number.")
@limit_option
@json_option
def convert(
    shards: Shards,
    out: Path,
    to: str,
    media: MediaPlace,
    root: Path | None,
    shard_records: int | None,
    skip_bad: bool,
    limits: tuple[str, ...],
    format: Format | None,
    root_maps: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the records of IN to OUT (.jsonl, .parquet or .tar) in another format.

    OUT is written whole or not at all. With `--media keep`, relative media paths are kept: write
    OUT into the folder of IN, or set its media root to that folder. With `--media embed`, OUT holds
    the media: Parquet in columns that `datasets` shows as pictures and players, a tar shard as
    files in the WebDataset layout, JSON lines as data URIs. With `--media files`, they are written
    into OUT's folder, named by their content.
    """
    from mmmodal.records.dataset import scan
    from mmmodal.records.writing import write_located, write_shards

    files = shards.paths()
    if out.exists() and any(out.samefile(file) for file in files):
        raise click.UsageError("OUT is the same file as IN; choose another name")
    scanned = with_progress(scan(shards, format=format, root_maps=root_maps, root=root))
    base = shards.root() if root is None else root
    placed = scanned if root else below(scanned, base)
    located = records_of(placed, skip=skip_bad, unique=to == "native")
    settings: Any = {"to": to, "media": media, "root": base, "limits": read_limits(limits)}
    written = 1
    if shard_records:
        count, written = write_shards(located, out, shard_records, **settings)
    else:
        count = write_located(located, out, **settings)
    if media == "keep" and out.resolve().parent != base.resolve():
        click.echo(f"Media paths are still relative to {base}", err=True)
    if as_json:
        print_json({"records": count, "format": to, "out": str(out)})
    else:
        spread = f" in {counted(written, 'file')}" if shard_records else ""
        click.echo(f"{out}: {counted(count, 'record')}{spread}")


data.add_command(cache_command, "cache")
data.add_command(guess_command, "guess")
data.add_command(preview_command, "preview")
data.add_command(stats_command, "stats")


def _keys(unused: Mapping[str, int]) -> str:
    """Return the keys that rows have besides those of their format, the most frequent first."""
    found = sorted(unused.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{key!r} ({counted(rows, 'row')})" for key, rows in found[:MOST_KEYS]]
    more = len(found) - len(shown)
    return ", ".join([*shown, f"and {more:,} more"] if more else shown)
