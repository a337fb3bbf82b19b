"""`mmmodal data stats`: how many records, turns, media and characters, and what files share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmmodal.cli.options import (
    json_option,
    limit_option,
    read_limits,
    reading_options,
    root_option,
    selection_options,
)
from mmmodal.cli.output import example, print_json, print_table
from mmmodal.cli.scanning import below, counted, records_of, with_progress

if TYPE_CHECKING:
    from mmmodal.contracts import Format

__all__ = ["stats_command"]


@click.command(
    "stats", epilog=example("mmmodal data stats train.jsonl test.jsonl --report report.html")
)
@click.argument("paths", nargs=-1, required=True)
@selection_options
@root_option
@click.option(
    "--duplicates",
    is_flag=True,
    help="Read every medium, and count those with the same bytes in several records or files.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML file with plots and duplicates.",
)
@limit_option
@reading_options
@json_option
def stats_command(
    paths: tuple[str, ...],
    split: str | None,
    name: str | None,
    revision: str | None,
    root: Path | None,
    duplicates: bool,
    report: Path | None,
    limits: tuple[str, ...],
    format: Format | None,
    root_maps: tuple[str, ...],
    as_json: bool,
) -> None:
    """Count records, languages, turns, media and characters of one or several files.

    `--duplicates` tells which pictures and clips are in several files, as in train and test.
    """
    from mmmodal.records.dataset import scan
    from mmmodal.records.duplicates import Duplicates
    from mmmodal.records.report import write_report
    from mmmodal.records.shards import find_shards
    from mmmodal.records.statistics import Statistics

    statistics = Statistics()
    shared = Duplicates(list(paths), read_limits(limits))
    sizes: dict[str, int] = {}
    for number, path in enumerate(paths):
        before = statistics.records
        shards = find_shards(path, split=split, name=name, revision=revision)
        scanned = with_progress(scan(shards, format=format, root_maps=root_maps, root=root))
        folder = shards.root() if root is None else root
        if root is None:
            scanned = below(scanned, folder)
        for where, record in records_of(scanned, skip=False):
            statistics.add(record)
            if duplicates or report:
                shared.add(number, where, record, folder)
        sizes[path] = statistics.records - before
    summary = statistics.summary() | ({"files": sizes} if len(paths) > 1 else {})
    if duplicates or report:
        summary["duplicates"] = shared.summary()
    if report:
        write_report(report, statistics, sizes, summary["duplicates"])
        click.echo(f"Report: {report}", err=True)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: Mapping[str, Any]) -> None:
    languages = ", ".join(f"{name} {count:,}" for name, count in summary["languages"].items())
    click.echo(f"{counted(summary['records'], 'record')} ({languages or 'no language'})\n")
    rows = [{"what": "turns per record"} | summary["turns"]]
    rows += [{"what": f"{kind} per record"} | row for kind, row in summary["media"].items()]
    spoken = summary["characters"].items()
    rows += [{"what": f"characters per {role} turn"} | row for role, row in spoken]
    keys = ("what", "total", "min", "median", "mean", "max")
    print_table(rows, {key: "" if key == "what" else key.upper() for key in keys})
    for line in _duplicate_lines(summary.get("duplicates")):
        click.echo(line)


def _duplicate_lines(found: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what is said of media with the same bytes."""
    if found is None:
        return
    unread = f"; {found['unread']:,} not readable" if found["unread"] else ""
    yield f"\n{found['distinct']:,} distinct media{unread}"
    for name, number in found["within"].items():
        yield f"{number:,} in several records of {name}"
    for pair in found["between"]:
        first = "".join(f", such as {one} and {other}" for one, other in pair["examples"][:1])
        yield f"{pair['media']:,} in {' and '.join(pair['files'])}{first}"
