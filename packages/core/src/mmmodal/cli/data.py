"""`mmmodal data`: check, count, convert and preview training data, and cache its features."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mmmodal.cli.caching import cache_command
from mmmodal.cli.guess import guess_command
from mmmodal.cli.options import (
    json_option,
    known_format,
    limit_option,
    path_argument,
    read_limits,
    reading_options,
    root_option,
    thoughts_option,
)
from mmmodal.cli.output import example, print_json, print_table, talking
from mmmodal.cli.preview import preview_command

if TYPE_CHECKING:
    from mmmodal.contracts import Format
    from mmmodal.contracts.record import Record
    from mmmodal.records.dataset import Scanned
    from mmmodal.samples.template_check import TemplateCheck

MOST_KEYS = 20  # of one file's rows that are printed


@click.group(epilog=example("mmmodal data check captions.jsonl"))
def data() -> None:
    """Check, count, convert and preview training data, and cache the features of its media.

    PATH is a file of JSON lines, a JSON list or Parquet, or a folder saved by `datasets`. The
    format of its rows is found by their keys (see `mmmodal formats`); `guess` looks at others.
    """


@data.command(epilog=example("mmmodal data check captions.jsonl --root images"))
@path_argument
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
@limit_option
@reading_options
@json_option
@click.pass_context
def check(
    context: click.Context,
    path: Path,
    root: Path | None,
    media: bool,
    model: Path | None,
    strict: bool,
    thoughts: Literal["keep", "drop"],
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

    checker = Checker(
        path.parent if root is None else root, media=media, limits=read_limits(limits)
    )
    records = 0
    errors: list[dict[str, str]] = []
    unused: Counter[str] = Counter()
    for item in _with_progress(scan(path, format=format, root_maps=root_maps)):
        records += item.record is not None
        unused.update(item.unused if item.part == 0 else ())
        found = list(checker.problems(item))
        if template is not None and item.record is not None:
            found += template.problems(item.record, item.row.where)
        for error in found:
            errors.append({"where": error.where, "reason": error.reason})
            if not as_json:
                click.echo(str(error))
    if not records and not errors:
        errors.append({"where": str(path), "reason": "it has no records"})
        if not as_json:
            click.echo("{where}: {reason}".format(**errors[0]))
    if as_json:
        print_json({"records": records, "errors": errors, "unused": dict(sorted(unused.items()))})
    else:
        if unused:
            click.echo(f"not used, kept in meta: {_keys(unused)}")
        click.echo(f"{_counted(records, 'record')}, {_counted(len(errors), 'error')}")
    if template is not None and template.affected and not strict:
        affected = f"{_counted(template.affected, 'record')} not learned whole"
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


@data.command(epilog=example("mmmodal data stats captions.jsonl --json"))
@path_argument
@reading_options
@json_option
def stats(path: Path, format: Format | None, root_maps: tuple[str, ...], as_json: bool) -> None:
    """Count records, languages, turns, media and characters."""
    from mmmodal.records.dataset import scan
    from mmmodal.records.statistics import Statistics

    statistics = Statistics()
    for _, record in _records(scan(path, format=format, root_maps=root_maps), skip=False):
        statistics.add(record)
    summary = statistics.summary()
    if as_json:
        print_json(summary)
        return
    languages = ", ".join(f"{name} {count:,}" for name, count in summary["languages"].items())
    click.echo(f"{_counted(summary['records'], 'record')} ({languages or 'no language'})\n")
    rows = [{"what": "turns per record"} | summary["turns"]]
    rows += [{"what": f"{kind} per record"} | row for kind, row in summary["media"].items()]
    spoken = summary["characters"].items()
    rows += [{"what": f"characters per {role} turn"} | row for role, row in spoken]
    keys = ("what", "total", "min", "median", "mean", "max")
    print_table(rows, {key: "" if key == "what" else key.upper() for key in keys})


@data.command(epilog=example("mmmodal data convert llava.json captions.jsonl"))
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", default="native", show_default=True, metavar="FORMAT", callback=known_format)
@click.option("--skip-bad", is_flag=True, help="Leave out bad rows, and print their number.")
@reading_options
@json_option
def convert(
    source: Path,
    out: Path,
    to: str,
    skip_bad: bool,
    format: Format | None,
    root_maps: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the records of IN to OUT (.jsonl or .parquet) in another format.

    OUT is written whole or not at all. Relative media paths are kept: write OUT into the folder of
    IN, or set its media root to that folder.
    """
    from mmmodal.records.dataset import scan
    from mmmodal.records.writing import write_located

    if out.exists() and source.exists() and out.samefile(source):
        raise click.UsageError("OUT is the same file as IN; choose another name")
    scanned = scan(source, format=format, root_maps=root_maps)
    located = _records(_with_progress(scanned), skip=skip_bad, unique=to == "native")
    count = write_located(located, out, to=to)
    if out.resolve().parent != source.resolve().parent:
        click.echo(f"Media paths are still relative to {source.parent}", err=True)
    if as_json:
        print_json({"records": count, "format": to, "out": str(out)})
    else:
        click.echo(f"{out}: {_counted(count, 'record')}")


data.add_command(cache_command, "cache")
data.add_command(guess_command, "guess")
data.add_command(preview_command, "preview")


def _records(
    scanned: Iterable[Scanned], *, skip: bool, unique: bool = False
) -> Iterator[tuple[str, Record]]:
    """Yield records with their positions; with `skip`, report bad rows on stderr and continue."""
    skipped = 0
    ids: set[str] = set()
    for item in scanned:
        if item.error is not None:
            if not skip:
                raise item.error
            skipped += 1
            click.echo(f"Skipped {item.error}", err=True)
        elif item.record is not None:
            record = item.record
            if unique:
                record = _with_unique_id(item, record, ids)
            yield item.row.where, record
    if skipped:
        click.echo(f"{_counted(skipped, 'bad row')} skipped", err=True)


def _with_unique_id(item: Scanned, record: Record, ids: set[str]) -> Record:
    """Return a record with a unique id: other formats use one id for all questions on an image."""
    from mmmodal.errors import RecordError

    if record.id in ids:
        if item.format == "native":
            reason = f"the id {record.id!r} is used by an earlier row; make it unique"
            raise RecordError(item.row.where, reason)
        record = record.model_copy(update={"id": f"{record.id}#{item.row.number}"})
    ids.add(record.id)
    return record


def _keys(unused: Mapping[str, int]) -> str:
    """Return the keys that rows have besides those of their format, the most frequent first."""
    found = sorted(unused.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{key!r} ({_counted(rows, 'row')})" for key, rows in found[:MOST_KEYS]]
    more = len(found) - len(shown)
    return ", ".join([*shown, f"and {more:,} more"] if more else shown)


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}" if number else f"no {word}s"


def _with_progress(scanned: Iterable[Scanned]) -> Iterator[Scanned]:
    """Show a progress bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield from scanned
        return
    with click.progressbar(length=1000, file=sys.stderr) as bar:
        for item in scanned:
            yield item
            bar.update(int(item.row.done * 1000) - bar.pos)
