"""MDS shards, as the format is documented, without the library that writes them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

__all__ = ["write_mds", "write_shard"]


def write_shard(path: Path, columns: dict[str, str], rows: list[dict[str, bytes]]) -> Path:
    """Write a shard of encoded values, all of variable size, as the format is documented."""
    head = json.dumps({
        "column_names": list(columns),
        "column_encodings": list(columns.values()),
        "column_sizes": [None] * len(columns),
        "compression": None,
        "format": "mds",
    }).encode()  # fmt: skip
    samples = [
        b"".join(struct.pack("<I", len(row[name])) for name in columns)
        + b"".join(row[name] for name in columns)
        for row in rows
    ]
    edges = [4 * (len(samples) + 2) + len(head)]
    for sample in samples:
        edges.append(edges[-1] + len(sample))
    positions = struct.pack(f"<{len(edges) + 1}I", len(samples), *edges)
    path.write_bytes(positions + head + b"".join(samples))
    return path


def write_mds(folder: Path, columns: dict[str, str], rows: list[dict[str, bytes]]) -> Path:
    """Write a data set of one shard with its index."""
    folder.mkdir()
    shard = write_shard(folder / "shard.00000.mds", columns, rows)
    data = {"basename": shard.name, "bytes": shard.stat().st_size, "hashes": {}}
    described = {
        "column_names": list(columns),
        "column_encodings": list(columns.values()),
        "column_sizes": [None] * len(columns),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "raw_data": data,
        "samples": len(rows),
        "size_limit": 1 << 26,
        "version": 2,
        "zip_data": None,
    }
    (folder / "index.json").write_text(json.dumps({"shards": [described], "version": 2}))
    return folder
