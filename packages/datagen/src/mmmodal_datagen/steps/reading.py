"""`import`: files become rows: records, rows, described media, and folders of recordings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import Field

from mmmodal.config import Config
from mmmodal.contracts.format import Place
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import find_format, read_row
from mmmodal.records.files import open_rows
from mmmodal.records.foreign import validated
from mmmodal_datagen.bilingual import row_of
from mmmodal_datagen.contracts import (
    Generator,
    Medium,
    Refusal,
    Results,
    Row,
    Shard,
    ShardFile,
)
from mmmodal_datagen.paths import moved, relative_uri
from mmmodal_datagen.running.context import Context
from mmmodal_datagen.running.fingerprints import file_sha256
from mmmodal_datagen.running.made import find_made
from mmmodal_datagen.running.tables import row_values

__all__ = ["Import", "ImportOptions"]

ENDINGS = {
    "audio": (".aac", ".flac", ".m4a", ".mka", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"),
    "image": (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
}
"""What a folder's files are, by their names; what they truly are is found when they are read."""

MEDIUM_KEYS = ("image", "audio", "file")
DESCRIPTION_KEYS = ("caption", "description", "text", "transcript", "title")
TURN_KEYS = {"messages", "conversations", "chat", "instruction"}
ROW_KEYS = {"kind", "groups", "media"}

T = TypeVar("T")


class ImportOptions(Config):
    """Which files are read, and what is known about all of them."""

    files: tuple[str, ...] = Field(min_length=1)
    """JSON lines, JSON, Parquet, a folder that `datasets` saved, a folder of media, or what another
    run made: its `out`, or `steps/NAME` in it. Relative paths begin at the pipeline's `root`."""

    format: str | None = None
    """Of records; by default guessed for each row."""

    licence: str | None = None
    source_url: str | None = None
    synthetic: bool = False
    """Whether the rows were made by a model."""


class Import(Generator):
    """Read files. A row that cannot be read is a failed row, and told."""

    name: ClassVar[str] = "import"
    Options: ClassVar[type[Config]] = ImportOptions
    options: ImportOptions

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Cut every file into shards of so many rows; it is read once for that."""
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
        """Read a shard's rows."""
        results = Results(rows=[])
        path = context.root / shard.arguments["file"]
        if "media" in shard.arguments:
            found = (path / name for name, *_ in shard.arguments["media"])
            rows = [_medium_alone(each, context.root) for each in found]
            results.rows = [self._signed(row, context) for row in rows]
            return results
        source = open_rows(path)
        for number, *position in shard.arguments["rows"]:
            place = Place(source.where(number), f"{path.stem}-{number}")
            try:
                values = source.read((position[0], position[1]), place.where)
                row = self._row(values, place, _Folders(path.parent, context.root))
                results.rows.append(self._signed(row, context))
            except RecordError as error:
                unread = Row(id=place.fallback_id, kind="unread", groups=(place.fallback_id,))
                refusal = Refusal(unread, "unreadable row", str(error), again=True)
                results.failed.append(refusal)
        return results

    def _row(self, values: dict[str, Any], place: Place, folders: _Folders) -> Row:
        if values.keys() >= ROW_KEYS:
            return _made(values, place)
        if not TURN_KEYS & values.keys():
            return _described(values, place, folders)
        chosen = find_format(self.options.format) if self.options.format else None
        _, records = read_row(values, place, chosen)
        return row_of([moved(record, *folders) for record in records], place.where)

    def _signed(self, row: Row, context: Context) -> Row:
        known = {
            "licence": row.licence or self.options.licence,
            "source_url": row.source_url or self.options.source_url,
            "synthetic": row.synthetic or self.options.synthetic,
        }
        return row.changed(origins=(*row.origins, context.origin()), **known)


class _Folders(NamedTuple):
    """Where the paths in a file begin, and where those in rows do."""

    own: Path
    root: Path


def _files(name: str, root: Path) -> Sequence[Path]:
    """Return what a run has made there, or the path itself."""
    made = find_made(root / name)
    if made is not None and made.root != root.resolve():
        raise ConfigError(
            "import", [f"the media of {root / name} are found from {made.root}; make that `root`"]
        )
    return [root / name] if made is None else made.files


def _pieces(path: Path, size: int) -> Iterator[dict[str, Any]]:
    """Yield what tells each shard of a file apart, and changes when the file does."""
    if path.is_dir() and not (path / "state.json").is_file():
        media = [_stamped(file, path) for file in sorted(path.rglob("*")) if _kind(file)]
        if not media:
            raise ConfigError("import", [f"{path} holds no file that is named like a medium"])
        for part in batched(media, size):
            yield {"media": part}
        return
    source = open_rows(path)
    stamp = _stamped(path, path.parent)[1:] if path.is_dir() else [file_sha256(path)]
    for rows in batched(source, size):
        yield {"stamp": stamp, "rows": [[row.number, *row.position] for row in rows]}


def _stamped(file: Path, folder: Path) -> list[Any]:
    # Recordings of thousands of hours are not read whole to see whether they changed.
    status = file.stat()
    return [file.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one shorter."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _kind(file: Path) -> str | None:
    for kind, endings in ENDINGS.items():
        if file.suffix.lower() in endings and file.is_file():
            return kind
    return None


def _medium_alone(file: Path, root: Path) -> Row:
    kind = _kind(file) or "audio"
    uri = Path(os.path.relpath(file, root)).as_posix()
    medium = Medium(kind=kind, uri=uri)
    row_kind = "recording" if kind == "audio" else kind
    return Row(id=uri, kind=row_kind, media=(medium,), groups=(uri,), synthetic=False)


def _made(values: dict[str, Any], place: Place) -> Row:
    """Return a row that a step made: of JSON, or of the Parquet file it published."""
    try:
        return validated(Row, row_values(values), place.where)
    except (ValueError, AttributeError, TypeError):
        reason = "it has the keys of a row, and values that no row has; was it changed?"
        raise RecordError(place.where, reason) from None


def _described(values: Mapping[str, Any], place: Place, folders: _Folders) -> Row:
    """Return the row of a medium with its caption or what else is known about it."""
    key = next((key for key in MEDIUM_KEYS if isinstance(values.get(key), str)), None)
    if key is None:
        known = ", ".join((*MEDIUM_KEYS, *sorted(TURN_KEYS)))
        raise RecordError(place.where, f"it names no medium and holds no turns; known are {known}")
    kind = key if key in ENDINGS else _kind_by_name(values[key], place)
    uri = relative_uri(values[key], place.where, *folders)
    said = next((name for name in DESCRIPTION_KEYS if isinstance(values.get(name), str)), None)
    sources = {"caption": "caption", "transcript": "asr"}
    taken = {key, said, "id", "group", "lang", "licence", "source_url"}
    facts = {name: value for name, value in values.items() if name not in taken}
    medium = {
        "kind": kind,
        "uri": uri,
        "lang": values.get("lang"),
        "description": values[said] if said else None,
        "description_source": sources.get(said, "metadata") if said else None,
        "facts": facts or None,
    }
    row = {
        "id": str(values.get("id", place.fallback_id)),
        "kind": "clip" if kind == "audio" else kind,
        "media": (medium,),
        "groups": (str(values.get("group", uri)),),
        "licence": values.get("licence"),
        "source_url": values.get("source_url"),
        "synthetic": False,
    }
    return validated(Row, row, place.where)


def _kind_by_name(name: str, place: Place) -> str:
    for kind, endings in ENDINGS.items():
        if Path(name).suffix.lower() in endings:
            return kind
    raise RecordError(place.where, f"{name[:80]!r} is not named like a medium; give it as 'image'")
