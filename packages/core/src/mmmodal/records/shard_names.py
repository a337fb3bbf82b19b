"""Names of shards: their kinds, splits, natural order, and braces that stand for several."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from mmmodal.config import suggest
from mmmodal.errors import RecordError
from mmmodal.records.json_text import printable

__all__ = [
    "HUB",
    "NO_SHARDS",
    "check_one_kind",
    "expand_braces",
    "in_natural_order",
    "kind_of",
    "select_split",
    "shown",
]

KINDS = {
    ".parquet": "Parquet",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON",
    ".tar": "tar",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".arrow": "Arrow",
    ".tgz": "compressed tar",
    ".mds": "MDS",
}
"""The kinds of shards by the suffixes of their names."""

COMPRESSED = {".bz2", ".gz", ".xz", ".zst"}

ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Files that `datasets` and others write about data, which hold no rows."""

HUB = "hf://"
"""The beginning of the addresses of data sets of the Hub."""

NO_SHARDS = "has no shards (Parquet, JSON, CSV, TSV, tar, Arrow or MDS files)"

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The words in names that say the split, as `datasets` reads them."""

NUMBERED = re.compile(r"(?:^|/)(\w+(?:\.\w+)*)-\d{5}-of-\d{5}(?!\d)")
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 1_000_000  # shards that braces may stand for
SHOWN = 5  # names in an error


def shown(names: Sequence[str]) -> str:
    """Return the first of some names for an error."""
    listed = ", ".join(map(printable, names[:SHOWN]))
    return f"{listed} and {len(names) - SHOWN:,} more" if len(names) > SHOWN else listed


def kind_of(name: str) -> str | None:
    """Return the kind of a shard by its name; None if the name is not that of a shard."""
    path = PurePosixPath(name)
    hidden = path.name.startswith((".", "_"))
    if hidden or path.name in ABOUT:
        return None
    suffix = path.suffix.lower()
    # These are not read, which is told when one is opened: rows must not be left out in silence.
    if suffix in COMPRESSED and (inside := kind_of(path.stem)):
        return f"compressed {inside}"
    return KINDS.get(suffix)


def check_one_kind(names: Sequence[str], where: str) -> None:
    """Check that all shards are of one kind.

    Raises:
        RecordError: they are not; it lists the kinds.
    """
    kinds = Counter(kind_of(name) or "other" for name in names)
    if len(kinds) > 1:
        counted = ", ".join(f"{kind} ({number})" for kind, number in sorted(kinds.items()))
        reason = f"its files are of several kinds: {counted}; name one by a pattern, as in '*.tar'"
        raise RecordError(where, reason)


def select_split(names: Sequence[str], split: str | None, where: str, *, whole: bool) -> list[str]:
    """Return the names of a split, which folders and names of files say.

    Args:
        names: the names of shards, relative to the data set.
        split: the split; None takes all.
        where: the data set, for errors.
        whole: whether several splits without a choice are an error.

    Raises:
        RecordError: the split is unknown, or must be chosen.
    """
    splits = [_split_of(name) for name in names]
    known = {found for found in splits if found is not None}
    if split is not None:
        split = split if split in known else _usual(split)
        check_split(split, known, where)
        return [name for name, found in zip(names, splits, strict=True) if found == split]
    if whole and len(known) > 1:
        raise several_splits(known, where)
    return list(names)


def check_split(split: str, known: Iterable[str], where: str) -> None:
    """Check that a data set has a split.

    Raises:
        RecordError: it has not; the error suggests one.
    """
    names = sorted(known)
    if split not in names:
        hint = suggest(split, names) if names else "; it has no splits, so leave out `split`"
        raise RecordError(where, f"it has no split {split!r:.80}{hint}")


def several_splits(known: Iterable[str], where: str) -> RecordError:
    """Return the error of a data set of which a split must be chosen."""
    splits = ", ".join(sorted(known)) or "none found"
    return RecordError(where, f"it holds several splits: {splits}; name one by `split`")


def _usual(split: str) -> str:
    """Return the usual word for a split: `validation` for `val`."""
    return next((name for name, words in SPLITS.items() if split in words), split)


def _split_of(name: str) -> str | None:
    """Return the split that a name says: `data/train-00000-of-00002.parquet`, `val/0.tar`."""
    for split, words in SPLITS.items():
        pattern = rf"(?:^|[-._ 0-9/])(?:{'|'.join(words)})(?:[-._ 0-9/]|$)"
        if re.search(pattern, name):
            return split
    numbered = NUMBERED.search(name)
    return numbered[1] if numbered else None


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Return names with the numbers in them in the order of numbers: `2.tar` before `10.tar`."""
    return sorted(names, key=_natural)


def _natural(name: str) -> tuple[tuple[tuple[bool, int, str], ...], str]:
    pieces = re.split(r"(\d+)", name)
    return tuple((p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces), name


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern with `{000..123}` or `{a,b}` stands for, in order.

    Raises:
        RecordError: a brace has neither form, or they stand for too many.
    """
    if (found := BRACES.search(pattern)) is None:
        if "{" in pattern or "}" in pattern:
            raise RecordError(pattern, "a brace is not closed; write {000..123} or {a,b}")
        return [pattern]
    before, after = pattern[: found.start()], expand_braces(pattern[found.end() :])
    inside = _alternatives(found[1], pattern)
    if len(inside) * len(after) > MOST:
        raise RecordError(pattern, f"the braces stand for more than {MOST:,} shards; correct them")
    return [before + middle + rest for middle, rest in itertools.product(inside, after)]


def _alternatives(inside: str, pattern: str) -> Sequence[str]:
    if found := RANGE.fullmatch(inside):
        first, last = int(found[1]), int(found[2])
        if not 0 <= last - first < MOST:
            reason = f"{{{inside}}} is no range of at most {MOST:,} shards; correct it"
            raise RecordError(pattern, reason)
        width = len(found[1]) if found[1].startswith("0") else 0
        return [f"{number:0{width}}" for number in range(first, last + 1)]
    if "," not in inside:
        raise RecordError(
            pattern, f"{{{inside}}} is neither a range {{000..123}} nor a list {{a,b}}"
        )
    return inside.split(",")
