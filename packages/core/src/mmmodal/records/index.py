"""The index of data files: where every record is, made by several processes and kept for later.

The rows of large files are parsed once. The index is kept in a folder of its own under a key of the
files' contents and of what reads them, so that the next start takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmmodal.contracts.format import Format
from mmmodal.errors import RecordError
from mmmodal.files import cache_folder, files_of, replacing
from mmmodal.plugins import registry
from mmmodal.records.contents import content_of, version_of
from mmmodal.records.files import open_rows
from mmmodal.records.json_text import printable
from mmmodal.records.reading import RecordPlace, RecordReader
from mmmodal.records.rows import WHOLE, Span, system_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Index", "content_key", "index_of"]

FIELDS = 6
"""The whole numbers that are kept for each record: those of a `RecordPlace`."""

LARGE = 8 * 1024 * 1024
"""The bytes of files whose index is kept, and made by several processes."""

MOST_PROCESSES = 8
TENSOR = "places"


@dataclass(frozen=True)
class Index:
    """The places of the records of some files, and the bad rows."""

    places: NDArray[np.int64]
    """Six whole numbers for each record; see `RecordPlace`."""

    formats: tuple[str, ...]
    """The names of formats, which places refer to by number."""

    errors: tuple[RecordError, ...] = ()
    """The errors of bad rows, in order."""

    def __len__(self) -> int:
        return len(self.places)

    def place(self, number: int) -> RecordPlace:
        """Return the place of a record."""
        file, first, second, row, form, part = self.places[number].tolist()
        return RecordPlace(file, (first, second), row, self.formats[form], part)


@dataclass(frozen=True)
class _Work:
    """A part of a file that one process indexes."""

    path: Path
    file: int
    span: Span
    format: str | Format | None


class Found(NamedTuple):
    """What was found in a part of a file."""

    places: list[tuple[int, ...]]
    errors: list[tuple[str, str]]
    """The errors of bad rows, and last of the file if it could not be read on."""

    is_whole: bool
    """Whether all rows could be read."""


def index_of(paths: Sequence[Path], format: str | Format | None = None) -> Index:
    """Return the index of data files, from the cache if they were indexed before.

    Args:
        paths: the files.
        format: the format of all rows, or its name; by default it is detected for each.

    Raises:
        RecordError: a file cannot be read.
    """
    size = sum(map(_size, paths))
    if size < LARGE:
        works = [_Work(path, file, WHOLE, format) for file, path in enumerate(paths)]
        return _joined([*map(_scan, works)])
    kept = cache_folder() / "indexes" / f"{content_key(paths, format)}.safetensors"
    if (known := _read(kept)) is not None:
        return known
    processes = _processes()
    each = -(-processes * 4 // len(paths))
    works = [
        _Work(path, file, span, format)
        for file, path in enumerate(paths)
        for span in _spans(path, each)
    ]
    found = [*_scanned(works, processes, size)]
    index = _joined(found)
    if all(part.is_whole for part in found):  # the disk may only have failed this time
        _write(kept, index)
    return index


def _size(path: Path) -> int:
    with system_errors(printable(path)):
        return sum(each.stat().st_size for each in files_of(path))


def _spans(path: Path, number: int) -> list[Span]:
    try:
        return open_rows(path).spans(number)
    except RecordError:  # it is told when the file is read
        return [WHOLE]


def _scanned(works: Sequence[_Work], processes: int, size: int) -> Iterator[Found]:
    """Yield what is found in parts of files, in order, with a bar."""
    from tqdm import tqdm

    with tqdm(None, "Indexing", len(works), unit="part", leave=False, file=sys.stderr) as bar:
        if processes == 1:
            for work in works:
                yield _scan(work)
                bar.update()
            return
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            for found in pool.imap(_scan, works):
                yield found
                bar.update()


def _scan(work: _Work) -> Found:
    names = _formats()
    places: list[tuple[int, ...]] = []
    errors: list[tuple[str, str]] = []
    try:
        for found in _places(work):
            if isinstance(found, RecordError):
                errors.append((found.where, found.reason))
            else:
                form = names.index(found.format)
                places.append((found.file, *found.position, found.number, form, found.part))
    except RecordError as error:  # of the file, which is damaged from here on
        return Found(places, [*errors, (error.where, error.reason)], is_whole=False)
    return Found(places, errors, is_whole=True)


def _places(work: _Work) -> Iterator[RecordPlace | RecordError]:
    reader = RecordReader(open_rows(work.path), format=work.format)
    for row in reader.source.within(work.span):
        yield from reader.places(row, work.file)


def _joined(found: Sequence[Found]) -> Index:
    import numpy as np

    parts = [np.zeros((0, FIELDS), np.int64)]
    errors = []
    for part in found:
        parts.append(np.array(part.places, np.int64).reshape(-1, FIELDS))
        errors += [RecordError(where, reason) for where, reason in part.errors]
    return Index(np.concatenate(parts), _formats(), tuple(errors))


def _formats() -> tuple[str, ...]:
    from mmmodal.records.detection import formats

    return tuple(sorted(formats()))


def _processes() -> int:
    """Return the number of processes: one where memory cannot be shared by forking."""
    if not hasattr(os, "fork"):
        return 1
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_PROCESSES, (os.cpu_count() or 1) // here))


def content_key(paths: Sequence[Path], format: str | Format | None) -> str:
    """Return a key of the files' contents, and of the parts that read rows."""
    files = [
        [content_of(each, version_of(each)) for each in files_of(path) if each.is_file()]
        for path in paths
    ]
    kinds = [*registry().provided("modalities")]
    parts = sorted(f"{name} {item.package} {item.version}" for name, item in kinds)
    plugins = sorted(f"{each.package} {each.version}" for each in registry().plugins)
    if isinstance(format, Format):
        format = f"{format.name} {format.options.model_dump_json()}"
    text = json.dumps([files, format, _formats(), parts, plugins])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> Index | None:
    """Return an index that was kept, mapped to memory; None if there is none or it is damaged."""
    import numpy as np

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: Mapping[str, Any] = json.loads(file.read(length))
        shape = tuple(header[TENSOR]["shape"])
        begin, end = header[TENSOR]["data_offsets"]
        about = header["__metadata__"]
        errors = tuple(RecordError(*error) for error in json.loads(about["errors"]))
        if end - begin != 8 * FIELDS * shape[0] or path.stat().st_size != 8 + length + end:
            return None
        places: Any = np.zeros(shape, np.int64)
        if shape[0]:
            places = np.memmap(path, np.int64, "r", 8 + length + begin, shape)
        return Index(places, tuple(json.loads(about["formats"])), errors)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, index: Index) -> None:
    """Keep an index; where that is not possible, it is made anew the next time."""
    from safetensors.numpy import save_file

    errors = json.dumps([(error.where, error.reason) for error in index.errors])
    about = {"formats": json.dumps(index.formats), "errors": errors}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as working:
            save_file({TENSOR: index.places}, str(working), metadata=about)
    except OSError as error:
        print(f"The index of the data is not kept: {error.strerror}", file=sys.stderr)
