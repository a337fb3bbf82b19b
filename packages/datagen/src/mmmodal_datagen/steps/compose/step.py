"""`compose`: sessions about several media, joined from rows about one medium (paper §4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from pydantic import Field, model_validator

from mmmodal.authoring.parts import Config, ConfigError
from mmmodal_datagen.contracts import Context, Generator, Results, Shard, ShardFile
from mmmodal_datagen.splits import split_of
from mmmodal_datagen.steps.compose.draw import Drawn, draw
from mmmodal_datagen.steps.compose.sessions import join_rows

__all__ = ["Compose", "ComposeOptions"]


class ComposeOptions(Config):
    """How sessions are drawn."""

    sessions: int = Field(50_000, ge=1)
    """The maximum number of sessions, over all splits."""

    smallest: int = Field(2, ge=1)
    """The least number of rows in a session."""

    largest: int = Field(4, ge=1)
    """The greatest number of rows in a session."""

    weights: dict[str, float] = Field({"image": 0.6, "audio": 0.4})
    """The probability of each kind of row, which is the kind of its first medium."""

    when_empty: Literal["stop", "redistribute"] = "stop"
    """When no rows of a kind are left: stop, or give its share to the other kinds."""

    shard_sessions: int = Field(20_000, ge=1)
    """Sessions in one shard."""

    @model_validator(mode="after")
    def _sizes_and_weights_make_sense(self) -> ComposeOptions:
        if self.smallest > self.largest:
            raise ValueError("`smallest` must be at most `largest`")
        if min(self.weights.values(), default=0) < 0 or not sum(self.weights.values()):
            raise ValueError("`weights` must be at least 0, and one of them more")
        return self


class Compose(Generator):
    """Draw sessions of rows; a row is in at most one session, and a medium once in a session.

    A row has both languages, so both have the same sessions. Splits are drawn separately.
    """

    name: ClassVar[str] = "compose"
    uses_splits: ClassVar[bool] = True
    Options: ClassVar[type[Config]] = ComposeOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"sessions": 50_000, "weights": {"image": 0.6, "audio": 0.4}},
        "balanced": {
            "weights": {"image": 0.5, "audio": 0.5},
            "when_empty": "redistribute",
        },
    }
    options: ComposeOptions

    def plan(self, inputs: Sequence[ShardFile], context: Context) -> list[Shard]:
        """Draw all sessions, and return them as shards."""
        if not inputs:
            raise ConfigError("compose", ["it has no rows to draw from; name its `inputs`"])
        total = len(self._drawn(inputs, context).starts) - 1
        size = self.options.shard_sessions
        ranges = [(first, min(first + size, total)) for first in range(0, total, size)]
        return [
            Shard(index, tuple(inputs), {"first": first, "last": last, "sessions": total})
            for index, (first, last) in enumerate(ranges or [(0, 0)])
        ]

    async def run(self, shard: Shard, context: Context) -> Results:
        """Return a shard's sessions as a table."""
        drawn = self._drawn(shard.inputs, context)
        first, last = shard.arguments["first"], shard.arguments["last"]
        starts = drawn.starts[first : last + 1]
        chosen = drawn.rows[starts[0] : starts[-1]]
        rows = _rows(shard.inputs).take(pa.array(chosen))
        origin = context.origin().model_dump_json()
        table = join_rows(rows, starts - starts[0], origin, context.fingerprint)
        return Results(rows=table, notes=self._notes(drawn) if shard.index == 0 else {})

    def _notes(self, drawn: Drawn) -> dict[str, int]:
        """Return the counts of unused rows and missing sessions, for the summary."""
        left = {f"unused_{name}": count for name, count in drawn.unused.items()}
        short = self.options.sessions - (len(drawn.starts) - 1)
        return {"sessions_short": short, "sessions_dropped": drawn.dropped, **left}

    def _drawn(self, inputs: Sequence[ShardFile], context: Context) -> Drawn:
        splits = tuple(context.splits.items())
        return _draw(tuple(inputs), self.options.model_dump_json(), splits, context.seed)


@lru_cache(maxsize=1)
def _draw(
    inputs: tuple[ShardFile, ...], options: str, splits: tuple[tuple[str, float], ...], seed: int
) -> Drawn:
    """Draw the sessions of every split; cached, as every shard of a process needs them."""
    chosen = ComposeOptions.model_validate_json(options)
    kinds, names = _about(inputs)
    codes = _codes(names)
    split_names = _splits(names, dict(splits), seed)
    parts = []
    shares = dict(splits) or {"": 1.0}
    for number, (split, share) in enumerate(shares.items()):
        pools = {
            kind: np.flatnonzero((kinds == kind) & (split_names == split))
            for kind in sorted({*kinds.tolist(), *chosen.weights})
        }
        sessions = round(chosen.sessions * share / sum(shares.values()))
        parts.append(
            draw(
                pools,
                chosen.weights,
                codes,
                sessions=sessions,
                smallest=chosen.smallest,
                largest=chosen.largest,
                when_empty=chosen.when_empty,
                seed=(seed, number),
            )
        )
    return _joined(parts)


def _joined(parts: Sequence[Drawn]) -> Drawn:
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    unused: dict[str, int] = {}
    for part in parts:
        for name, count in part.unused.items():
            unused[name] = unused.get(name, 0) + count
    return Drawn(
        np.concatenate([part.rows for part in parts]),
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        unused,
        sum(part.dropped for part in parts),
    )


def _about(inputs: tuple[ShardFile, ...]) -> tuple[np.ndarray, Any]:
    """Return the kind of each row's first medium ("" without one), and the groups of each row."""
    media = _rows(inputs).column("media").combine_chunks()
    groups = _rows(inputs).column("groups").combine_chunks()
    counts = pc.list_value_length(media).to_numpy(zero_copy_only=False)
    kinds = np.asarray(media.values.field("kind"), dtype=object)
    first = media.offsets.to_numpy()[:-1]
    found = np.full(len(counts), "", dtype=object)
    found[counts > 0] = kinds[first[counts > 0]]
    return found, groups


def _codes(names: Any) -> np.ndarray:
    """Return the groups of each row as numbers, [rows, most], padded with -1."""
    numbers = names.values.dictionary_encode().indices.to_numpy()
    offsets = names.offsets.to_numpy()
    counts = np.diff(offsets)
    codes = np.full((len(counts), int(counts.max(initial=1))), -1, np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    column = np.arange(len(numbers)) - np.repeat(offsets[:-1], counts)
    codes[row, column] = numbers
    return codes


def _splits(names: Any, splits: dict[str, float], seed: int) -> np.ndarray:
    """Return the split of each row; None for a row in several splits, which is not drawn."""
    if not splits:
        return np.full(len(names), "", dtype=object)
    known = {name: split_of([name], splits, seed) for name in set(names.values.to_pylist())}
    found = [{known[name] for name in groups} for groups in names.to_pylist()]
    return np.array([each.pop() if len(each) == 1 else None for each in found], dtype=object)


@lru_cache(maxsize=1)
def _rows(inputs: tuple[ShardFile, ...]) -> Any:
    """Read all rows; cached, as every shard of a process needs some of them."""
    tables = [pa.parquet.read_table(file.path, use_threads=False) for file in inputs]
    return pa.concat_tables(tables).combine_chunks()
