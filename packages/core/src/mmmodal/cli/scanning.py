"""The records of a file as commands read them: with a progress bar, bad rows told or raised."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mmmodal.contracts.record import Record
    from mmmodal.records.dataset import Scanned

__all__ = ["below", "counted", "records_of", "with_progress"]


def below(scanned: Iterable[Scanned], base: Path) -> Iterator[Scanned]:
    """Yield records whose relative media paths begin in `base`, which each file's folder is in."""
    from mmmodal.records.paths import moved

    for item in scanned:
        if item.record is None or item.folder == base:
            yield item
            continue
        folder = os.path.relpath(item.folder, base)
        yield dataclasses.replace(item, record=moved(item.record, folder))


def records_of(
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
        click.echo(f"{counted(skipped, 'bad row')} skipped", err=True)


def _with_unique_id(item: Scanned, record: Record, ids: set[str]) -> Record:
    """Return a record with a unique id: other formats use one id for all questions on an image."""
    from mmmodal.errors import RecordError

    if record.id in ids:
        if item.format == "native":
            reason = f"the id {record.id!r} is used by an earlier row; make it unique"
            raise RecordError(item.row.where, reason)
        numbers = itertools.count(item.row.number)
        unused = (id for n in numbers if (id := f"{record.id}#{n}") not in ids)
        record = record.model_copy(update={"id": next(unused)})
    ids.add(record.id)
    return record


def counted(number: int, word: str) -> str:
    """Return a number of things in words: `no rows`, `1 row`, `2,000 rows`."""
    return f"{number:,} {word}{'s' * (number != 1)}" if number else f"no {word}s"


def with_progress(scanned: Iterable[Scanned]) -> Iterator[Scanned]:
    """Show a progress bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield from scanned
        return
    with click.progressbar(length=1000, file=sys.stderr) as bar:
        for item in scanned:
            yield item
            bar.update(int(item.row.done * 1000) - bar.pos)
