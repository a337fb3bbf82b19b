"""Write records to a file, whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mmmodal.config import suggest
from mmmodal.contracts.format import Format
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, MediaError, RecordError
from mmmodal.files import replacing
from mmmodal.media.limits import Limits
from mmmodal.records.detection import find_format, formats
from mmmodal.records.inline import order_of_media
from mmmodal.records.json_text import dump_json, printable
from mmmodal.records.placement import MediaPlace, Placing, carried, placing

__all__ = ["write_located", "write_records", "write_shards"]

Located = tuple[str, Record]

NATIVE = "native"


def write_records(
    records: Iterable[Record],
    path: str | Path,
    *,
    to: str = NATIVE,
    media: MediaPlace = "keep",
    root: Path | None = None,
) -> int:
    """Write records as `.jsonl`, `.parquet` or `.tar`, as `path` ends; return their number.

    Args:
        records: the records.
        path: the file to write.
        to: the format of its rows.
        media: what becomes of media; a tar shard needs "embed".
        root: the folder of the records' relative media paths; by default that of `path`.

    Raises:
        RecordError: the format cannot express a record, or a medium cannot be read; no file of
            records is written then.
    """
    located = ((f"record {record.id!r}", record) for record in records)
    return write_located(located, path, to=to, media=media, root=root)


def write_located(
    located: Iterable[Located],
    path: str | Path,
    *,
    to: str = NATIVE,
    media: MediaPlace = "keep",
    root: Path | None = None,
    limits: Limits | None = None,
) -> int:
    """Write records with their positions, which errors name; return the number of records."""
    path = Path(path)
    _check_output(path, to, media)
    base = path.parent if root is None else root
    write = _Writer(find_format(to), path, media, base, limits or Limits()).write
    numbers = itertools.count()
    counted = (item for item, _ in zip(located, numbers, strict=False))
    with _opened(path) as file:
        write(counted, file)
    return next(numbers)


def write_shards(
    located: Iterable[Located], path: Path, records: int, **settings: Any
) -> tuple[int, int]:
    """Write records into several files; return the number of records, and of files.

    Args:
        located: the records.
        path: the name of the files, which get a number: `a.tar` becomes `a-000000.tar` and so on.
        records: the number of records of each file.
        settings: those of `write_located`.
    """
    _check_output(path, settings.get("to", NATIVE), settings.get("media", "keep"))
    rest = iter(located)
    number = total = 0
    for first in rest:
        shard = path.with_name(f"{path.stem}-{number:06d}{path.suffix}")
        chosen = itertools.chain([first], itertools.islice(rest, records - 1))
        total += write_located(chosen, shard, **settings)
        number += 1
    return total, number


def _check_output(path: Path, to: str, media: MediaPlace) -> None:
    """Raise a ConfigError for a file that cannot hold such rows."""
    suffixes = (".jsonl", ".parquet", ".tar")
    form = formats().get(to) or type(find_format(to))  # which reports an unknown name
    problem = ""
    if path.suffix not in suffixes:
        problem = f"unknown ending {path.suffix!r}{suggest(path.suffix, suffixes)}"
    elif not form.written:
        problem = f"rows of the format {to!r} are read, but not written; write {_written()}"
    elif path.suffix == ".parquet" and to != NATIVE and not form.lists_media:
        problem = f"Parquet cannot hold rows of {to}; write them as .jsonl, or {_written(True)}"
    elif path.suffix == ".tar" and to != NATIVE:
        problem = f"a tar shard holds native records only; write {to} as .jsonl"
    elif path.suffix == ".tar" and media != "embed":
        problem = "a tar shard holds the media of its rows; add `--media embed`"
    if problem:
        raise ConfigError("output", [problem])


def _written(table: bool = False) -> str:
    """Return the names of the formats that are written, in a table or in any file."""
    names = [
        name
        for name, each in formats().items()
        if name == NATIVE or (each.lists_media if table else each.written)
    ]
    return f"{', '.join(names[:-1])} or {names[-1]}"


class _Writer:
    """What writes the rows of a kind of file."""

    def __init__(
        self, format: Format, path: Path, media: MediaPlace, root: Path, limits: Limits
    ) -> None:
        self._format = format
        self._root, self._limits = root, limits
        self._embed = media == "embed"
        writers: dict[str, Callable[[Iterable[Located], BinaryIO], None]]
        writers = {".jsonl": self._lines, ".parquet": self._parquet, ".tar": self._tar}
        self.write = writers[path.suffix]
        """A function that writes records to an open file."""

        within = self._embed and path.suffix != ".jsonl"
        self._place = _unchanged if within else placing(media, path, root, limits)

    def _lines(self, located: Iterable[Located], file: BinaryIO) -> None:
        for where, row in _rows(_placed(located, self._place), self._format):
            file.write(dump_json(row, where) + b"\n")

    def _parquet(self, located: Iterable[Located], file: BinaryIO) -> None:
        from mmmodal.records.table_writing import FIRST, layout_of, native_layout, write_parquet

        if self._format.name == NATIVE:
            layout = native_layout()
        else:
            rest = iter(located)
            first = [*itertools.islice(rest, FIRST)]
            layout = layout_of(self._format, first, media=self._embed)
            located = itertools.chain(first, rest)
        rows = map(self._table_row, _placed(located, self._place))
        write_parquet(rows, file, layout, media=self._embed)

    def _table_row(self, item: Located) -> Any:
        where, record = item
        if not self._embed:
            return where, self._format.write([record], where), []
        with _naming(where):
            media = [(ref.kind, carried(ref, self._root, self._limits)) for ref in record.media]
        refs = (
            ref.model_copy(update={"uri": medium.name})
            for ref, (_, medium) in zip(record.media, media, strict=True)
        )
        named = record.model_copy(update={"media": tuple(refs)})
        if self._format.lists_media:
            media = [media[index] for index in order_of_media(record)]
        return where, self._format.write([named], where), media

    def _tar(self, located: Iterable[Located], file: BinaryIO) -> None:
        from mmmodal.records.tar_writing import write_tar

        last = ""

        def records() -> Iterator[Record]:
            nonlocal last
            for where, record in located:
                last = where
                yield record

        try:
            write_tar(records(), file, self._root, self._limits)
        except MediaError as error:
            raise RecordError(last, str(error)) from None


def _unchanged(record: Record, where: str) -> Record:
    del where
    return record


def _placed(located: Iterable[Located], place: Placing) -> Iterator[Located]:
    for where, record in located:
        with _naming(where):
            yield where, place(record, where)


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Raise an error of a medium as a RecordError that names the row."""
    try:
        yield
    except MediaError as error:
        raise RecordError(where, str(error)) from None


def _rows(located: Iterable[Located], format: Format) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of records; records of the same row are joined."""
    held: list[Record] = []
    start = ""
    for where, record in located:
        if held and not format.joins(held, record):
            yield start, format.write(held, start)
            held = []
        if not held:
            start = where
        held.append(record)
    if held:
        yield start, format.write(held, start)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file that replaces `path` after the block."""
    try:
        with replacing(path, durable=True) as working, working.open("wb") as file:
            yield file
    except OSError as error:
        reason = f"it cannot be written ({error.strerror or type(error).__name__})"
        raise RecordError(printable(path), reason) from None
