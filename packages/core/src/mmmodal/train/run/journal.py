"""Journals: rows that a run records by step, so that those after a lost step can be removed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmmodal.errors import CheckpointError
from mmmodal.files import replacing

__all__ = ["Journal", "cut_journals"]


class Journal:
    """A file of JSON lines of a run; every row has a `step`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, step: int, row: Mapping[str, Any]) -> None:
        """Append one row.

        Raises:
            CheckpointError: it cannot be written.
        """
        line = json.dumps({"step": step, **{key: _plain(value) for key, value in row.items()}})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise CheckpointError(
                f"{self.path} cannot be written ({error.strerror}); fix this, and run the same "
                "command again to resume from the last checkpoint"
            ) from None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows that were written completely."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)

    def cut(self, step: int) -> None:
        """Remove the rows after a step, and an incomplete line at the end.

        Raises:
            CheckpointError: it cannot be written.
        """
        try:
            with replacing(self.path) as working, working.open("w", encoding="utf-8") as file:
                file.writelines(
                    json.dumps(row) + "\n" for row in self.rows() if row["step"] <= step
                )
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written ({error.strerror})") from None


def cut_journals(run: Path, step: int) -> None:
    """Remove the rows after a step from all journals of a run, which resumes from there."""
    for path in sorted(run.glob("*.jsonl")):
        if not path.name.startswith("."):
            Journal(path).cut(step)


def _plain(value: Any) -> Any:
    """Return a value as JSON allows it: without NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
