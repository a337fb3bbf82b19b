"""Finished shards as files: rows, rejected and failed rows, and a sidecar written last."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from mmmodal_datagen.contracts.generator import Refusal, Results, Shard, ShardFile
from mmmodal_datagen.files import publish_bytes, publishing
from mmmodal_datagen.fingerprints import canonical, digest, file_sha256
from mmmodal_datagen.rows.tables import row_table
from mmmodal_datagen.run.usage import usage_of

__all__ = ["Done", "StepFolder"]

ROW_GROUP = 1000


@dataclass(frozen=True)
class Done:
    """The contents of a finished shard's sidecar."""

    index: int
    spec: str
    """The digest of the shard's inputs and arguments."""

    rows: int
    rejected: int
    failed: int
    reasons: dict[str, int]
    """Counts of rejected and failed rows by reason."""

    files: dict[str, str]
    """The SHA-256 of each file beside the sidecar."""

    notes: dict[str, Any] = field(default_factory=dict)
    usage: list[dict[str, Any]] = field(default_factory=list)
    """Calls by model (`mmmodal_datagen.run.usage`)."""

    run: str | None = None
    """The run that left failed rows; another run tries them again."""


@dataclass(frozen=True)
class StepFolder:
    """The shards of one step with one fingerprint."""

    step: str
    path: Path
    """A folder named after the fingerprint."""

    def done(self, shard: Shard, run: str) -> Done | None:
        """Return the sidecar of a shard; None if the shard is not finished or a file has changed.

        A shard with rows that failed in another run is not finished.
        """
        found = self._sidecar(shard.index)
        if found is None or found.spec != spec_of(shard):
            return None
        if found.failed and found.run != run:
            return None
        for name, sha256 in found.files.items():
            path = self.path / name
            if not path.is_file() or file_sha256(path) != sha256:
                return None
        return found

    def publish(self, shard: Shard, results: Results, run: str) -> Done:
        """Write a shard's results, the sidecar last, and return the sidecar.

        Raises:
            StopRun: the disk is full.
        """
        rows = results.rows if isinstance(results.rows, pa.Table) else row_table(results.rows)
        tables = {
            f"part-{shard.index:05d}.parquet": rows,
            f"rejected-{shard.index:05d}.parquet": refusal_table(results.rejected),
            f"failed-{shard.index:05d}.parquet": refusal_table(results.failed),
        }
        files = {}
        for name, table in tables.items():
            if table.num_rows or name.startswith("part-"):
                files[name] = self._write(name, table)
            else:
                (self.path / name).unlink(missing_ok=True)
        for path in results.files:
            files[os.path.relpath(path, self.path)] = file_sha256(path)
        refused = [*results.rejected, *results.failed]
        done = Done(
            index=shard.index,
            spec=spec_of(shard),
            rows=rows.num_rows,
            rejected=len(results.rejected),
            failed=len(results.failed),
            reasons=dict(sorted(Counter(refusal.reason for refusal in refused).items())),
            files=files,
            notes=results.notes,
            usage=self._usage(results),
            run=run if results.failed else None,
        )
        publish_bytes(canonical(vars(done)) + b"\n", self.path / _sidecar_name(shard.index))
        return done

    def file(self, done: Done) -> ShardFile:
        """Return the file of a finished shard's rows."""
        name = f"part-{done.index:05d}.parquet"
        return ShardFile(self.step, self.path / name, done.rows, done.files[name])

    def tidy(self, shards: Sequence[Shard]) -> None:
        """Remove the files of shards that are not planned, and unfinished files."""
        planned = {f"{shard.index:05d}" for shard in shards}
        for path in self.path.iterdir():
            stem = path.name.split(".")[0].rpartition("-")[2]
            if path.name.startswith(".") or stem not in planned:
                path.unlink()

    def _usage(self, results: Results) -> list[dict[str, Any]]:
        """Count the calls of the rows; a step that returns a table calls no model."""
        made = [] if isinstance(results.rows, pa.Table) else results.rows
        return usage_of([*made, *(refusal.row for refusal in results.rejected)], self.path.name)

    def _sidecar(self, index: int) -> Done | None:
        try:
            return Done(**json.loads((self.path / _sidecar_name(index)).read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _write(self, name: str, table: pa.Table) -> str:
        path = self.path / name
        with publishing(path) as file:
            pa.parquet.write_table(table, file, row_group_size=ROW_GROUP, compression="zstd")
        return file_sha256(path)


def spec_of(shard: Shard) -> str:
    """Return the digest of a shard's inputs and arguments."""
    inputs = [file.sha256 for file in shard.inputs]
    beside = [file.sha256 for file in shard.beside]
    return digest([shard.index, inputs, dict(shard.arguments), beside])


def _sidecar_name(index: int) -> str:
    return f"shard-{index:05d}.json"


def refusal_table(refusals: Sequence[Refusal]) -> pa.Table:
    """Return rejected or failed rows as a table with their reasons."""
    table = row_table([refusal.row for refusal in refusals])
    reasons = pa.array([refusal.reason for refusal in refusals], pa.string())
    details = pa.array([refusal.detail for refusal in refusals], pa.string())
    return table.append_column("reason", reasons).append_column("detail", details)
