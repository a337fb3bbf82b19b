"""Measure the number of tokens of each sample before the first step, unless it is known already.

Packing needs all lengths before a sample is read. Measuring does not decode a picture if its
encoder outputs the same shape for all pictures, and computes no spectrogram of sound.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.digests import code_digest
from mmmodal.errors import RecordError
from mmmodal.files import files_of, replacing
from mmmodal.ranks import everyones, of_first, rank, ranks
from mmmodal.records.dataset import OnError
from mmmodal.samples.dataset import Measurement, PreparedDataset
from mmmodal.samples.kept_lengths import KeptLengths, LengthCache
from mmmodal.samples.media_files import MediaFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmmodal.samples.collation import Sample

__all__ = ["MeasuredDataset", "check_length", "measure_lengths"]

FILE = "lengths.safetensors"

Refused = tuple[int, str, str]
"""A bad record: its number, its position and its error."""

TOGETHER = 16
"""The number of records that a worker measures before it sends their lengths."""


def measure_lengths(
    dataset: PreparedDataset, folder: Path, *, workers: int = 0, on_error: OnError = "raise"
) -> NDArray[np.int32]:
    """Return the number of tokens of each record.

    Those that this run or another one has measured before are read: from `folder`, in which a run
    keeps its own, so that its packs stay the same; else from the cache folder, as far as the files
    of the media have not changed. Every rank of a distributed run measures a share of the others,
    and all ranks get all lengths.

    Args:
        dataset: the records.
        folder: the folder of the run.
        workers: the number of processes that measure, on every rank.
        on_error: "raise", or a function that gets the error of each bad record, with length 0.

    Raises:
        RecordError: the error of the first bad record.
    """
    import numpy as np

    key = _fingerprint(dataset)
    known = _read(folder / FILE, key) if rank() == 0 else None
    lengths: NDArray[np.int32] | None = of_first(known)
    if lengths is not None and lengths.all():
        return lengths
    if lengths is None:
        lengths = _measure_unkept(dataset, workers, on_error)
    else:
        unknown = np.flatnonzero(lengths == 0)
        lengths = lengths + _measure(dataset, unknown, workers, on_error).lengths
    if rank() == 0:
        _write(folder / FILE, key, lengths)
    return lengths


def _measure_unkept(dataset: PreparedDataset, workers: int, on_error: OnError) -> NDArray[np.int32]:
    """Return all lengths; those that the cache does not have are measured, and kept there."""
    import numpy as np

    cache = LengthCache(dataset) if rank() == 0 else None
    kept = cache.read() if cache else None
    known: NDArray[np.int32] = of_first(kept.lengths if kept else None)
    unknown = np.flatnonzero(known == 0)
    if not len(unknown):
        return known
    found = _measure(dataset, unknown, workers, on_error)
    if cache and kept:
        cache.write(kept.joined([found]), unknown)
    return known + found.lengths


def _measure(
    dataset: PreparedDataset, numbers: NDArray[np.int64], workers: int, on_error: OnError
) -> KeptLengths:
    """Return the lengths of the records of some numbers, of which each rank measures a share."""
    share = _share(dataset, numbers[rank() :: ranks()].tolist(), workers)
    shares = everyones(share)
    for _, where, reason in sorted(error for _, refused in shares for error in refused):
        error = RecordError(where, reason)
        if on_error == "raise":
            raise error
        on_error(error)
    return KeptLengths.unknown(len(dataset)).joined(found for found, _ in shares)


class _Lengths:
    """A dataset for torch of the lengths of some records, or their errors."""

    def __init__(self, dataset: PreparedDataset, numbers: Sequence[int]) -> None:
        self._dataset = dataset
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> tuple[int, Measurement] | Refused:
        index = self._numbers[place]
        try:
            return index, self._dataset.measure(index)
        except RecordError as error:
            return index, error.where, error.reason


def _share(
    dataset: PreparedDataset, numbers: Sequence[int], workers: int
) -> tuple[KeptLengths, list[Refused]]:
    """Return the lengths of this rank's share of the records, and the bad ones."""
    import numpy as np
    from torch.utils.data import DataLoader

    lengths = np.zeros(len(dataset), np.int32)
    files: dict[int, Sequence[MediaFile]] = {}
    refused: list[Refused] = []
    share: Any = _Lengths(dataset, numbers)
    for found in DataLoader(share, TOGETHER, num_workers=workers, collate_fn=list):
        for row in found:
            if len(row) == 3:
                refused.append(row)
                continue
            index, measured = row
            lengths[index] = measured.tokens
            if measured.files:
                files[index] = measured.files
    return KeptLengths.measured(lengths, files), refused


def _fingerprint(dataset: PreparedDataset) -> str:
    """Return a fingerprint of the data files, and of the settings that determine their tokens."""
    files = [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for shard in dataset.files
        for path in files_of(shard.path())
    ]
    preparer = dataset.preparer
    tokenizer = preparer.tokenizer
    parts = (preparer.modalities, preparer.encoders, preparer.projectors)
    code = code_digest(type(part) for group in parts for part in group.values())
    made = [tokenizer.chat_template, preparer.entries, len(tokenizer), preparer.renderer.thoughts]
    made += filter(None, [code])
    text = json.dumps([files, len(dataset), dataset.max_tokens, made], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path, key: str) -> NDArray[np.int32] | None:
    """Return the lengths that were written with the same key, or None."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="numpy") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            lengths: NDArray[np.int32] = file.get_tensor("lengths")
            return lengths
    except (SafetensorError, OSError):
        return None  # the file is cut off; the lengths are measured again


def _write(path: Path, key: str, lengths: NDArray[np.int32]) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as working:
        save_file({"lengths": lengths}, str(working), metadata={"key": key})


class MeasuredDataset:
    """Samples with known lengths; a sample of another length raises an error."""

    def __init__(self, dataset: PreparedDataset, lengths: NDArray[np.int32]) -> None:
        self._dataset = dataset
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        """Return a sample.

        Raises:
            RecordError: its media or its row changed since it was measured, or an encoder measures
                them wrongly.
        """
        sample = self._dataset[index]
        check = functools.partial(self._dataset.check_encoders, index)
        remedy = f"restore it, or remove {FILE} of the run and start again"
        check_length(sample, int(self._lengths[index]), check, remedy)
        return sample


def check_length(
    sample: Sample, measured: int, check_encoders: Callable[[], None], remedy: str
) -> None:
    """Check that a sample has as many tokens as were measured.

    Args:
        sample: the sample.
        measured: the number of tokens.
        check_encoders: a function that raises the error of an encoder that measures wrongly.
        remedy: what to do if a file has changed.

    Raises:
        RecordError: it has not.
    """
    found = len(sample.input_ids)
    if found != measured:
        check_encoders()
        raise RecordError(
            sample.where,
            f"it takes {found} tokens now, but took {measured} when lengths were measured; a file "
            f"has changed: {remedy}",
        )
