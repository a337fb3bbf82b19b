"""Handle rows that cannot be used: raise an error, or leave them out and record them.

A worker process returns the error of a row instead of raising it, because an error that is raised
across processes loses its class and has a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mmmodal.errors import RecordError
from mmmodal.samples.collation import Sample
from mmmodal.train.run.journal import Journal

__all__ = ["BAD", "ROWS", "BadSample", "GuardedDataset", "NamingCollator", "Skipped"]

ROWS, BAD = "rows", "bad_rows"
"""The keys of a batch besides tensors: the positions of its rows, and its bad rows."""

LISTED = 10
"""The number of rows that are named at the end; the run's folder has all."""


@dataclass(frozen=True)
class BadSample:
    """A row that cannot be used."""

    where: str
    reason: str


class Indexed(Protocol):
    """Samples by index."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...


class GuardedDataset:
    """Samples by index; a `BadSample` for a row that cannot be used."""

    def __init__(self, dataset: Indexed) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample | BadSample:
        try:
            return self._dataset[index]
        except RecordError as error:
            return BadSample(error.where, error.reason)


class NamingCollator:
    """Collate the usable samples of a batch, with the positions of their rows."""

    def __init__(self, collate: Callable[[Sequence[Sample]], Mapping[str, Any]]) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[Sample | BadSample]) -> dict[str, Any]:
        good = [sample for sample in samples if isinstance(sample, Sample)]
        bad = [sample for sample in samples if isinstance(sample, BadSample)]
        batch = dict(self._collate(good))
        return {**batch, ROWS: [sample.where for sample in good], BAD: bad}


class Skipped:
    """Raise the errors of bad rows, or record the rows."""

    def __init__(self, choice: Literal["refuse", "skip"], run: Path, rank: int) -> None:
        self.refuses = choice == "refuse"
        """Whether a bad row is an error."""

        self._run = run
        self._journal = Journal(run / f"skipped-{rank}.jsonl")

    def note(self, step: int, bad: Iterable[BadSample]) -> None:
        """Record the bad rows of a step.

        Raises:
            RecordError: a row is bad, and bad rows are not skipped.
        """
        for sample in bad:
            if self.refuses:
                raise RecordError(sample.where, sample.reason)
            print(f"Skipped {sample.where}: {sample.reason}", file=sys.stderr)
            self._journal.note(step, {"row": sample.where, "reason": sample.reason})

    def note_once(self, bad: Iterable[RecordError]) -> None:
        """Record rows that are not valid records, once, as a resumed run finds them again."""
        known = self.all()
        for error in bad:
            if error.where not in known:
                known[error.where] = error.reason
                self.note(0, [BadSample(error.where, error.reason)])

    def all(self) -> dict[str, str]:
        """Return all skipped rows of all ranks and epochs, with the reasons."""
        journals = [Journal(path) for path in sorted(self._run.glob("skipped-*.jsonl"))]
        rows = sorted(
            (row for journal in journals for row in journal.rows()), key=lambda row: row["step"]
        )
        found: dict[str, str] = {}
        for row in rows:  # keep the first reason: bad media later fail for lack of stored features
            found.setdefault(row["row"], row["reason"])
        return found

    def print_summary(self) -> None:
        """Print the skipped rows on stderr, and the files that name all of them."""
        rows = self.all()
        if not rows:
            return
        named = [f"  {where}: {reason}" for where, reason in list(rows.items())[:LISTED]]
        more = [f"  … all are in {self._run}/skipped-*.jsonl"] if len(rows) > LISTED else []
        word = "row was" if len(rows) == 1 else "rows were"
        print("\n".join([f"{len(rows)} bad {word} skipped:", *named, *more]), file=sys.stderr)
