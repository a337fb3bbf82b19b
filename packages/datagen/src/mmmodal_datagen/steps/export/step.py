"""`export`: files that `mmmodal train` and other programs read, with a data card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from mmmodal.authoring.files import remove_unfinished
from mmmodal.authoring.parts import Config, ConfigError, MediaError, RecordError
from mmmodal.authoring.records import Record, find_format, write_records, write_tar
from mmmodal_datagen.contracts import (
    Context,
    Generator,
    Refusal,
    Rejected,
    Results,
    Row,
    Shard,
    ShardFile,
)
from mmmodal_datagen.files import (
    publish_bytes,
    publishing,
    stopping,
)
from mmmodal_datagen.rows.records import records_of
from mmmodal_datagen.steps.export.card import Facts, card
from mmmodal_datagen.steps.export.media import How, bring

__all__ = ["Export", "ExportOptions"]

Target = Literal["records", "datasets", "paper", "llava", "webdataset"]
FORMATS = {"paper": "paper", "llava": "llava"}
"""Targets in a format other than native records, and core's name of the format."""


class ExportOptions(Config):
    """The formats that are written, and where."""

    to: tuple[Target, ...] = ("records",)
    """records: JSON lines. datasets: Parquet that `datasets` loads. paper, llava: JSON lines in
    that format. webdataset: tar files that contain the media."""

    folder: str = "export"
    """A folder below the pipeline's `out`; each target has its own folder in it."""

    media: How = "link"
    """link, copy: put the media below the folder, which is then complete. leave: do not; train with
    the pipeline's `root`."""

    title: str = "Conversations about images and audio, in English and Malay"
    shard_records: int = Field(1000, ge=1)
    """Records in one tar file."""


class Export(Generator):
    """Write all rows in other formats, by split.

    A row that a format cannot express is rejected.
    """

    name: ClassVar[str] = "export"
    uses_splits: ClassVar[bool] = True
    Options: ClassVar[type[Config]] = ExportOptions
    options: ExportOptions

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Return one shard for each target."""
        if not inputs:
            raise ConfigError("export", ["it has no rows to write; name its `inputs`"])
        return [
            Shard(index, tuple(inputs), {"to": target})
            for index, target in enumerate(self.options.to)
        ]

    async def run(self, shard: Shard, context: Context) -> Results:
        """Write the files of one target, and return only the rejected and failed rows."""
        target: Target = shard.arguments["to"]
        writing = _Writing(target, self.options, shard, context)
        return writing.write()


class _Writing:
    """The export to one target: its files and facts."""

    def __init__(
        self, target: Target, options: ExportOptions, shard: Shard, context: Context
    ) -> None:
        self._target = target
        self._options = options
        self._shard = shard
        self._context = context
        self._folder = context.folder / options.folder / target
        self._facts = Facts()
        self._results = Results(rows=[])

    def write(self) -> Results:
        """Write the files of all splits, and the card."""
        with stopping(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._refuse()
        writers: dict[str, Callable[[str], str]] = {
            "datasets": self._parquet,
            "webdataset": self._tars,
        }
        write = writers.get(self._target, self._lines)
        patterns = {split: write(split) for split in self._context.splits or {"train": 1.0}}
        text = card(self._options.title, self._facts, patterns)
        self._publish("README.md", text.encode("utf-8"))
        self._tidy()
        if self._shard.index == 0:  # notes are summed over targets, which all write the same rows
            rows = sorted(self._facts.rows.items())
            self._results.notes = {f"rows_{split}": number for split, number in rows}
        return self._results

    def _tidy(self) -> None:
        """Remove the files of earlier exports with other splits, and unfinished files."""
        remove_unfinished(self._folder)
        remove_unfinished(self._folder / "data")
        for pattern in ("*.jsonl", "*.tar", "data/*.parquet"):
            for path in self._folder.glob(pattern):
                if path not in self._results.files:
                    path.unlink()

    def _refuse(self) -> None:
        """Collect the rows that cannot be written, with their reasons."""
        for row in self._shard.read():
            try:
                self._check(row)
            except Rejected as error:
                self._results.rejected.append(Refusal(row, error.reason, error.detail))
            except RecordError as error:
                refusal = Refusal(row, f"not expressible as {self._target}", error.reason)
                self._results.rejected.append(refusal)
            except MediaError as error:
                refusal = Refusal(row, f"unreadable medium ({error.code})", str(error), again=True)
                self._results.failed.append(refusal)
        self._refused = {
            refusal.row.id for refusal in (*self._results.rejected, *self._results.failed)
        }

    def _check(self, row: Row) -> None:
        self._context.split(row.groups)
        records = self._records_of(row)
        if self._target in FORMATS:
            form = find_format(FORMATS[self._target])
            whole = [records] if self._target == "paper" else [[record] for record in records]
            for each in whole:
                form.write(each, f"row {row.id!r}")
        if self._target != "webdataset":
            bring(row, self._context.root, self._folder, self._options.media)

    def _lines(self, split: str) -> str:
        name = f"{split}.jsonl"
        self._written(name, split, FORMATS.get(self._target, "native"))
        return name

    def _parquet(self, split: str) -> str:
        name = f"data/{split}-00000-of-00001.parquet"
        (self._folder / "data").mkdir(exist_ok=True)
        self._written(name, split, "native")
        return f"data/{split}-*.parquet"

    def _written(self, name: str, split: str, form: str) -> None:
        path = self._folder / name
        write_records(self._records(split), path, to=form)
        self._results.files.append(path)

    def _tars(self, split: str) -> str:
        held: list[Record] = []
        number = 0
        for record in self._records(split):
            held.append(record)
            if len(held) == self._options.shard_records:
                self._tar(split, number, held)
                held, number = [], number + 1
        if held:
            self._tar(split, number, held)
        return f"{split}-*.tar"

    def _tar(self, split: str, number: int, records: Sequence[Record]) -> None:
        path = self._folder / f"{split}-{number:06d}.tar"
        with publishing(path) as file:
            write_tar(records, file, self._context.root)
        self._results.files.append(path)

    def _publish(self, name: str, data: bytes) -> None:
        publish_bytes(data, self._folder / name)
        self._results.files.append(self._folder / name)

    def _records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split, and count its rows."""
        for row in self._rows(split):
            self._facts.add(row, split)
            yield from self._records_of(row)

    def _rows(self, split: str) -> Iterator[Row]:
        for row in self._shard.read():
            if row.id not in self._refused and self._context.split(row.groups) in ("", split):
                yield row

    def _records_of(self, row: Row) -> list[Record]:
        return records_of(row, grouped_by="row" if self._target == "paper" else "media")
