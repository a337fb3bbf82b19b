"""`import`: rows from files of records, rows or described media, and from folders of media."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from mmmodal.authoring.parts import Config, ConfigError, RecordError
from mmmodal.authoring.records import Place, find_format, open_rows
from mmmodal_datagen.contracts import (
    Context,
    Generator,
    Refusal,
    Results,
    Row,
    Shard,
    ShardFile,
)
from mmmodal_datagen.fingerprints import file_sha256
from mmmodal_datagen.outputs import find_made
from mmmodal_datagen.steps.import_.rows import Folders, kind_of, medium_row, read_values

__all__ = ["Import", "ImportOptions"]

T = TypeVar("T")

UNUSED = "unused_"
"""The beginning of notes that count the rows with a key that is not used, but kept in `meta`."""


class ImportOptions(Config):
    """The files that are read, and facts about all of them."""

    files: tuple[str, ...] = Field(min_length=1)
    """JSON lines, JSON, Parquet, a folder that `datasets` saved, a folder of media, or the results
    of a run: its `out`, or `steps/NAME` in it. Paths are relative to the pipeline's `root`."""

    format: str | None = None
    """The format of records; by default it is guessed for each row."""

    licence: str | None = None
    source_url: str | None = None
    synthetic: bool = False
    """Whether a model made the rows."""


class Import(Generator):
    """Read files. A row that cannot be read is a failed row."""

    name: ClassVar[str] = "import"
    Options: ClassVar[type[Config]] = ImportOptions
    options: ImportOptions

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Return shards of equal numbers of rows; every file is read once to count them."""
        if self.options.format is not None:
            find_format(self.options.format)
        paths = [path for name in self.options.files for path in _files(name, context.root)]
        pieces = [
            {"file": os.path.relpath(path, context.root), **piece}
            for path in paths
            for piece in _pieces(path, context.shard_rows)
        ]
        return [Shard(index, arguments=piece) for index, piece in enumerate(pieces)]

    async def run(self, shard: Shard, context: Context) -> Results:
        """Return the rows of a shard."""
        results = Results(rows=[])
        path = context.root / shard.arguments["file"]
        if "media" in shard.arguments:
            found = (path / name for name, *_ in shard.arguments["media"])
            rows = [medium_row(each, context.root) for each in found]
            results.rows = [self._signed(row, context) for row in rows]
            return results
        source = open_rows(path)
        folders = Folders(path.parent, context.root)
        unused: Counter[str] = Counter()
        for number, *position in shard.arguments["rows"]:
            place = Place(source.where(number), f"{path.stem}-{number}")
            try:
                values = source.read((position[0], position[1]), place.where)
                read = read_values(values, place, folders, self.options.format)
                results.rows.append(self._signed(read.row, context))
                unused.update(f"{UNUSED}{key}" for key in read.unused)
            except RecordError as error:
                unread = Row(id=place.fallback_id, kind="unread", groups=(place.fallback_id,))
                refusal = Refusal(unread, "unreadable row", str(error), again=True)
                results.failed.append(refusal)
        results.notes = dict(sorted(unused.items()))
        return results

    def _signed(self, row: Row, context: Context) -> Row:
        known = {
            "licence": row.licence or self.options.licence,
            "source_url": row.source_url or self.options.source_url,
            "synthetic": row.synthetic or self.options.synthetic,
        }
        return row.changed(origins=(*row.origins, context.origin()), **known)


def _files(name: str, root: Path) -> Sequence[Path]:
    """Return the files of a run's rows, or the path itself."""
    made = find_made(root / name)
    if made is not None and made.root != root.resolve():
        raise ConfigError(
            "import", [f"paths in {root / name} are relative to {made.root}; set `root` to it"]
        )
    return [root / name] if made is None else made.files


def _pieces(path: Path, size: int) -> Iterator[dict[str, Any]]:
    """Yield the arguments of each shard of a file; they change when the file does."""
    if path.is_dir() and not (path / "state.json").is_file():
        media = [_stamped(file, path) for file in sorted(path.rglob("*")) if kind_of(file)]
        if not media:
            raise ConfigError("import", [f"{path} contains no file with the ending of a medium"])
        for part in batched(media, size):
            yield {"media": part}
        return
    source = open_rows(path)
    stamp = _stamped(path, path.parent)[1:] if path.is_dir() else [file_sha256(path)]
    for rows in batched(source, size):
        yield {"stamp": stamp, "rows": [[row.number, *row.position] for row in rows]}


def _stamped(file: Path, folder: Path) -> list[Any]:
    # Size and time show a change: recordings of thousands of hours are not read for a digest.
    status = file.stat()
    return [file.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one shorter."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
