"""The lengths of records, kept in the cache folder for every run that reads them the same way.

Those of each data file are a file of their own, under a key of the content of the data file, of the
model's processor and of the settings. With them stands which files hold media of the records, and
what the system said of these files: a record is measured anew if one of them has changed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmmodal.conversation.template import date_forms
from mmmodal.digests import code_digest
from mmmodal.files import cache_folder, remove_unfinished, replacing
from mmmodal.samples.media_files import MARKS, MediaFile, marks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmmodal.samples.dataset import PreparedDataset
    from mmmodal.samples.preparer import Preparer

__all__ = ["KeptLengths", "LengthCache"]

FEW = 256
"""The number of records of a run from which lengths are kept for others."""

ABANDONED_S = 3600
"""The time without a change after which a temporary file belongs to a killed process."""

LIBRARIES = ("mmmodal-core", "transformers", "tokenizers", "jinja2")
"""The packages whose versions may change how a conversation is rendered."""


@dataclass(frozen=True)
class KeptLengths:
    """The lengths of n records, and the m files that hold media of them."""

    lengths: NDArray[np.int32]
    """The number of tokens of each record, [n]; 0: not known."""

    paths: Sequence[str]
    marks: NDArray[np.int64]
    """What the system said of each file before its records were measured, [m, MARKS]."""

    uses: NDArray[np.int64]
    """Pairs of a record and of a file that it needs, by number, in the order of the records."""

    @classmethod
    def unknown(cls, number: int) -> KeptLengths:
        """Return no lengths of `number` records."""
        return cls.measured(np.zeros(number, np.int32), {})

    @classmethod
    def measured(
        cls, lengths: NDArray[np.int32], files: dict[int, Sequence[MediaFile]]
    ) -> KeptLengths:
        """Return lengths, with the files of the records of some numbers."""
        places: dict[MediaFile, int] = {}
        uses = [
            (record, places.setdefault(file, len(places)))
            for record, held in sorted(files.items())
            for file in held
        ]
        marks = np.array([file.mark for file in places], np.int64).reshape(-1, MARKS)
        pairs = np.array(uses, np.int64).reshape(-1, 2)
        return cls(lengths, [file.path for file in places], marks, pairs)

    def current(self) -> KeptLengths:
        """Return the lengths of the records whose files are unchanged; those of others are 0."""
        changed = (marks_of(self.paths) != self.marks).any(axis=1)
        lengths = self.lengths.copy()
        lengths[self.uses[changed[self.uses[:, 1]], 0]] = 0
        return replace(self, lengths=lengths, uses=self.uses[lengths[self.uses[:, 0]] > 0])

    def joined(self, others: Iterable[KeptLengths]) -> KeptLengths:
        """Return these lengths with those that others know of the same records."""
        every = [self, *others]
        lengths = np.stack([each.lengths for each in every]).sum(axis=0, dtype=np.int32)
        return _together(lengths, every, [0] * len(every))

    def of(self, records: range) -> KeptLengths:
        """Return the lengths of successive records alone."""
        begin, end = np.searchsorted(self.uses[:, 0], (records.start, records.stop))
        uses = self.uses[begin:end]
        used, places = np.unique(uses[:, 1], return_inverse=True)
        paths = [self.paths[number] for number in used.tolist()]
        pairs = np.stack([uses[:, 0] - records.start, places.reshape(-1)], axis=1)
        lengths = self.lengths[records.start : records.stop]
        return KeptLengths(lengths, paths, self.marks[used], pairs)


def _together(
    lengths: NDArray[np.int32], parts: Sequence[KeptLengths], starts: Sequence[int]
) -> KeptLengths:
    """Return lengths with the files of parts, whose first records have the numbers `starts`."""
    paths: list[str] = []
    uses = []
    for part, start in zip(parts, starts, strict=True):
        uses.append(part.uses + np.array([start, len(paths)]))
        paths += part.paths
    pairs = np.concatenate(uses)
    order = np.argsort(pairs[:, 0], kind="stable")
    return KeptLengths(lengths, paths, np.concatenate([p.marks for p in parts]), pairs[order])


class LengthCache:
    """The kept lengths of the records of a dataset, one file for each of its data files."""

    def __init__(self, dataset: PreparedDataset) -> None:
        self._number = len(dataset)
        self._parts = list(_parts(dataset)) if self._number >= FEW else []

    def read(self) -> KeptLengths:
        """Return the lengths that are known and whose media have not changed."""
        parts = [_read(path, len(records)) for path, records in self._parts]
        if not parts:
            return KeptLengths.unknown(self._number)
        lengths = np.concatenate([part.lengths for part in parts])
        return _together(lengths, parts, [records.start for _, records in self._parts]).current()

    def write(self, kept: KeptLengths, measured: NDArray[np.int64]) -> None:
        """Keep lengths of the data files of which records were measured, whose numbers are sorted.

        Where that is not possible, they are measured the next time too.
        """
        try:
            for path, records in self._parts:
                begin, end = np.searchsorted(measured, (records.start, records.stop))
                if begin < end:
                    _write(path, kept.of(records))
        except OSError as error:
            print(f"The lengths of the data are not kept: {error.strerror}", file=sys.stderr)


def _parts(dataset: PreparedDataset) -> Iterator[tuple[Path, range]]:
    """Yield where the lengths of each data file are kept, and the numbers of its records."""
    folder, settings = cache_folder() / "lengths", _settings(dataset.preparer, dataset.max_tokens)
    for key, records in dataset.parts():
        name = hashlib.sha256(f"{key} {settings}".encode()).hexdigest()
        yield folder / f"{name}.safetensors", records


def _settings(preparer: Preparer, max_tokens: int) -> str:
    """Return all besides a record and its media that determines its number of tokens, as text."""
    tokenizer, renderer = preparer.tokenizer, preparer.renderer
    words = json.loads(tokenizer.backend_tokenizer.to_str())
    now = datetime.datetime.now()
    parts = (preparer.modalities, preparer.encoders, preparer.projectors)
    values = {
        "tokenizer": {k: v for k, v in words.items() if k not in ("padding", "truncation")},
        "special tokens": tokenizer.special_tokens_map,
        "template": renderer.template,
        "dates": [now.strftime(form) for form in date_forms(renderer.template)],
        "learned": [renderer.thoughts, renderer.answers],
        "modalities": preparer.entries,
        "limits": {name: preparer.limits(name).model_dump() for name in preparer.entries},
        "max_tokens": max_tokens,
        "code": code_digest(type(part) for group in parts for part in group.values()),
        "versions": [version(name) for name in LIBRARIES],
    }
    return json.dumps(values, default=str, sort_keys=True)


def _read(path: Path, number: int) -> KeptLengths:
    """Return the lengths in a file; none if there is no such file, or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        names = found["paths"].tobytes()
        paths = [os.fsdecode(name) for name in names.split(b"\0")] if names else []
        marks, uses = found["marks"].reshape(len(paths), MARKS), found["uses"].reshape(-1, 2)
        if len(found["lengths"]) == number and _fit(uses, number, len(paths)):
            return KeptLengths(found["lengths"].astype(np.int32), paths, marks, uses)
    except (SafetensorError, OSError, KeyError, ValueError):
        pass
    return KeptLengths.unknown(number)


def _fit(uses: NDArray[Any], records: int, files: int) -> bool:
    """Return whether pairs name records and files that there are."""
    return bool(((uses >= 0) & (uses < (records, files))).all())


def _write(path: Path, kept: KeptLengths) -> None:
    from safetensors.numpy import save_file

    names = b"\0".join(map(os.fsencode, kept.paths))
    tensors = {
        "lengths": kept.lengths,
        "marks": kept.marks,
        "uses": kept.uses,
        "paths": np.frombuffer(names, np.uint8),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent, unchanged_s=ABANDONED_S)
    with replacing(path) as working:
        save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, str(working))
