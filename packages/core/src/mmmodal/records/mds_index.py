"""The index of a folder of MDS shards, the format of MosaicML's `streaming`.

The format: https://docs.mosaicml.com/projects/streaming/en/stable/preparing_datasets/dataset_format.html
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from mmmodal.errors import RecordError
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.shard_names import shown

__all__ = ["INDEX", "is_mds_folder", "mds_shards"]

INDEX = "index.json"
VERSION = 2
LARGEST = 256 * 1024 * 1024  # bytes of an index


def is_mds_folder(folder: Path) -> bool:
    """Return whether a folder has an index of shards."""
    file = folder / INDEX
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return b'"shards"' in opened.read(LARGEST)


def mds_shards(folder: Path) -> list[Path]:
    """Return the shards that the index of a folder lists, in its order.

    Raises:
        RecordError: the index is damaged or of another version, or shards are missing, cut off or
            compressed.
    """
    where = printable(folder / INDEX)
    index = parse_json((folder / INDEX).read_bytes(), where)
    shards = index.get("shards") if isinstance(index, dict) else None
    if not isinstance(shards, list) or not shards:
        raise RecordError(where, "it lists no shards; write the data set again")
    if index.get("version") != VERSION:
        reason = f"it is of version {index.get('version')!r:.20}; only version {VERSION} is read"
        raise RecordError(where, reason)
    files = [_shard(folder, shard, number, where) for number, shard in enumerate(shards, start=1)]
    _check_files(files, where)
    return [file for file, _ in files]


def _shard(folder: Path, shard: Any, number: int, where: str) -> tuple[Path, int]:
    """Return the file of a shard, and the number of bytes that it must have."""
    try:
        format, raw = shard["format"], shard["raw_data"]
        name, size = str(raw["basename"]), int(raw["bytes"])
        zipped = shard.get("zip_data")
    except (KeyError, TypeError, ValueError):
        reason = f"its shard {number} is not described fully; write the data set again"
        raise RecordError(where, reason) from None
    if format != "mds":
        reason = f"its shard {number} is of the format {format!r:.40}; only MDS is read"
        raise RecordError(where, reason)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise RecordError(
            where, f"its shard {name!r:.80} is outside of the folder; correct the name"
        )
    if zipped and not (folder / name).exists():
        reason = (
            f"its shards are compressed ({shard.get('compression')}); decompress them, or write "
            "the data set again without compression"
        )
        raise RecordError(where, reason)
    return folder / name, size


def _check_files(files: list[tuple[Path, int]], where: str) -> None:
    missing = [file.name for file, _ in files if not file.is_file()]
    if missing:
        reason = f"{len(missing):,} of its shards do not exist: {shown(missing)}; copy them again"
        raise RecordError(where, reason)
    for file, size in files:
        if (found := file.stat().st_size) != size:
            reason = f"it has {found:,} bytes, and the index says {size:,}; copy the shard again"
            raise RecordError(printable(file), reason)
