"""Rows that cannot be used: refused, or left out and counted; never replaced by another.

A worker process hands over what is wrong with a row instead of raising it, because an error that
crosses processes arrives without its class and with a trace.
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
"""What a batch holds beside tensors: where its rows are, and those that it lacks."""

TOLD = 10
"""Rows that are named in the end; the run's folder names all."""


@dataclass(frozen=True)
class BadSample:
    """A row that cannot be used."""

    where: str
    reason: str


class Indexed(Protocol):
    """Samples by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...


class GuardedDataset:
    """Samples by number; instead of one that cannot be used, what is wrong with its row."""

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
    """Join the samples of a batch that can be used, and say which rows they are."""

    def __init__(self, collate: Callable[[Sequence[Sample]], Mapping[str, Any]]) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[Sample | BadSample]) -> dict[str, Any]:
        good = [sample for sample in samples if isinstance(sample, Sample)]
        bad = [sample for sample in samples if isinstance(sample, BadSample)]
        batch = dict(self._collate(good))
        return {**batch, ROWS: [sample.where for sample in good], BAD: bad}


class Skipped:
    """Refuse bad rows, or note them."""

    def __init__(self, choice: Literal["refuse", "skip"], run: Path, rank: int) -> None:
        self._refuse = choice == "refuse"
        self._run = run
        self._journal = Journal(run / f"skipped-{rank}.jsonl")

    def note(self, step: int, bad: Iterable[BadSample]) -> None:
        """Take what a step could not use.

        Raises:
            RecordError: a row is bad, and none is to be skipped.
        """
        for sample in bad:
            if self._refuse:
                raise RecordError(sample.where, sample.reason)
            print(f"Skipped {sample.where}: {sample.reason}", file=sys.stderr)
            self._journal.note(step, {"row": sample.where, "reason": sample.reason})

    def note_once(self, bad: Iterable[RecordError]) -> None:
        """Note rows that no record could be made of, which a resumed run meets again."""
        known = self.all()
        for error in bad:
            if error.where not in known:
                known[error.where] = error.reason
                self.note(0, [BadSample(error.where, error.reason)])

    def all(self) -> dict[str, str]:
        """Return every row that was skipped, on any rank and in any epoch, with the reason."""
        journals = [Journal(path) for path in sorted(self._run.glob("skipped-*.jsonl"))]
        rows = sorted(
            (row for journal in journals for row in journal.rows()), key=lambda row: row["step"]
        )
        found: dict[str, str] = {}
        for row in rows:  # the first reason counts: bad media have no stored features, either
            found.setdefault(row["row"], row["reason"])
        return found

    def tell(self) -> None:
        """Say on stderr which rows were skipped, and where they all are named."""
        rows = self.all()
        if not rows:
            return
        named = [f"  {where}: {reason}" for where, reason in list(rows.items())[:TOLD]]
        more = [f"  … all are in {self._run}/skipped-*.jsonl"] if len(rows) > TOLD else []
        word = "row was" if len(rows) == 1 else "rows were"
        print("\n".join([f"{len(rows)} bad {word} skipped:", *named, *more]), file=sys.stderr)
