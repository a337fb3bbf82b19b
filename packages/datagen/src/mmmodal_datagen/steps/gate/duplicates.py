"""Duplicates: rows equal to an earlier row, or with nearly the same words."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from mmmodal_datagen.contracts import Row, ShardFile
from mmmodal_datagen.files import publish_bytes
from mmmodal_datagen.fingerprints import digest
from mmmodal_datagen.texts.words import count_words, runs_of

__all__ = ["find_duplicates", "known_duplicates"]

PERMUTATIONS = 128
SHINGLE = 5  # words


def find_duplicates(
    rows: Iterable[Row], threshold: float, shortest: int
) -> dict[str, tuple[str, float]]:
    """Return, for each duplicate, the id of the earlier row and the similarity.

    The similarity is the share of common runs of five words (MinHash). Rows of fewer than
    `shortest` words are duplicates only if they are equal, including media; otherwise only one row
    of each template would be left.

    Args:
        rows: in order; the first of two duplicates is kept.
        threshold: the least similarity of duplicates, up to 1.
        shortest: words.
    """
    from datasketch import MinHash, MinHashLSH

    same: dict[str, str] = {}
    near = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    prints: dict[str, MinHash] = {}
    found: dict[str, tuple[str, float]] = {}
    for row in rows:
        text = _text(row)
        exact = digest([text, [medium.sha256 or medium.uri for medium in row.media]])
        if exact in same:
            found[row.id] = (same[exact], 1.0)
            continue
        same[exact] = row.id
        if count_words(text) < max(shortest, SHINGLE):
            continue
        own = MinHash(PERMUTATIONS, hashfunc=_hash)
        own.update_batch([run.text.casefold().encode() for run in runs_of(text, SHINGLE)])
        alike = [(own.jaccard(prints[name]), name) for name in near.query(own)]
        value, name = max(alike, default=(0.0, ""))
        if value >= threshold:
            found[row.id] = (name, float(value))
        else:
            near.insert(row.id, own)
            prints[row.id] = own
    return found


@functools.lru_cache(maxsize=1)
def known_duplicates(
    inputs: tuple[ShardFile, ...], threshold: float, shortest: int, folder: Path
) -> dict[str, tuple[str, float]]:
    """Return the duplicates among all rows of a step's inputs; they are found once, and kept."""
    name = digest([[file.sha256 for file in inputs], threshold, shortest])
    path = folder / "duplicates" / f"{name}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        rows = (row for file in inputs for row in file.read())
        kept = find_duplicates(rows, threshold, shortest)
        publish_bytes(json.dumps(kept).encode(), path)
    return {row: (other, value) for row, (other, value) in kept.items()}


def _text(row: Row) -> str:
    return "\n".join(piece.text for piece in row.pieces() if piece.text)


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "little")
