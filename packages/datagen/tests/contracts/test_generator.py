"""What a step's author can rely on: names, order, origins, and errors that stay with their row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmodal.errors import ConfigError, MediaError
from mmmodal_datagen.contracts import (
    Context,
    Failed,
    Medium,
    Piece,
    Rejected,
    Results,
    Row,
    RowContext,
    RowGenerator,
    Shard,
    ShardFile,
    StopRun,
    Turn,
)
from mmmodal_datagen.replay.models import Models
from mmmodal_datagen.rows.tables import read_rows, row_table
from mmmodal_datagen.run.context import StepContext


def row(name: str, **changes: Any) -> Row:
    return Row(**({"id": name, "kind": "clip", "groups": (f"g-{name}",)} | changes))


def context_of(folder: Path, **changes: Any) -> Context:
    values: dict[str, Any] = {"folder": folder, "root": folder} | changes
    return StepContext(step="s", version="1", fingerprint="f", models=Models.none(), **values)


def run(step: RowGenerator, folder: Path, rows: Sequence[Row], **changes: Any) -> Results:
    path = folder / "rows.parquet"
    pyarrow.parquet.write_table(row_table(rows), path)
    shard = Shard(0, (ShardFile("before", path, len(rows), "sha"),))
    return asyncio.run(step.run(shard, context_of(folder, **changes)))


class Several(RowGenerator):
    """Make two rows of each, the later ones first."""

    name = "several"

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        await asyncio.sleep(0.01 * (5 - int(row.id)))
        return [row.changed(licence="CC0-1.0"), row.child(kind="copy")]


class Failing(RowGenerator):
    """Do to each row what its name says."""

    name = "failing"

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        errors: dict[str, Exception] = {
            "rejected": Rejected("too short", "3 words"),
            "failed": Failed("no answer"),
            "medium": MediaError("missing", "a.wav", "no such file"),
            "mistake": KeyError("nothing"),
            "stop": StopRun("wrong key"),
        }
        if row.id in errors:
            raise errors[row.id]
        return [row]


def test_rows_stay_in_order_and_new_ones_are_named_after_their_parents(tmp_path: Path) -> None:
    rows = [row(str(number)) for number in range(5)]
    found = run(Several(), tmp_path, rows)
    assert [each.id for each in found.rows[::2]] == ["0", "1", "2", "3", "4"]
    children = found.rows[1::2]
    assert [each.parents for each in children] == [("0",), ("1",), ("2",), ("3",), ("4",)]
    assert len({each.id for each in children}) == 5
    assert run(Several(), tmp_path, rows).rows == found.rows
    assert {each.origins[-1].step for each in found.rows} == {"s"}


def test_an_error_stays_with_its_row_unless_none_can_go_on(tmp_path: Path) -> None:
    names = ("fine", "rejected", "failed", "medium", "mistake")
    found = run(Failing(), tmp_path, [row(name) for name in names])
    assert [each.id for each in found.rows] == ["fine"]
    assert [(each.row.id, each.reason) for each in found.rejected] == [("rejected", "too short")]
    assert {each.row.id: each.reason for each in found.failed} == {
        "failed": "no answer",
        "medium": "unreadable medium (missing)",
        "mistake": "unexpected KeyError",
    }
    with pytest.raises(ExceptionGroup) as caught:
        run(Failing(), tmp_path, [row("fine"), row("stop")])
    assert caught.group_contains(StopRun)


def test_only_so_many_rows_are_worked_on_at_once(tmp_path: Path) -> None:
    open_rows = highest = 0

    class Counting(RowGenerator):
        name = "counting"

        async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
            nonlocal open_rows, highest
            open_rows += 1
            highest = max(highest, open_rows)
            await asyncio.sleep(0.001)
            open_rows -= 1
            return [row]

    run(Counting(), tmp_path, [row(str(number)) for number in range(20)], concurrency=3)
    assert highest == 3


def test_chance_depends_on_the_seed_the_row_and_the_words_alone(tmp_path: Path) -> None:
    def drawn(seed: int, name: str, word: str) -> float:
        return context_of(tmp_path, seed=seed).for_row(row(name)).chance(word).random()

    assert drawn(1, "a", "x") == drawn(1, "a", "x")
    assert (
        len({drawn(1, "a", "x"), drawn(2, "a", "x"), drawn(1, "b", "x"), drawn(1, "a", "y")}) == 4
    )


def test_a_medium_that_a_step_makes_is_named_by_its_content(tmp_path: Path) -> None:
    context = context_of(tmp_path / "out", root=tmp_path).for_row(row("a"))
    uri, sha256 = context.keep(b"sound", ".wav")
    assert context.keep(b"sound", ".wav") == (uri, sha256)
    assert uri == f"out/media/{sha256[:2]}/{sha256[2:]}.wav"
    assert context.open(Medium(kind="audio", uri=uri)).sha256() == sha256
    outside = context_of(tmp_path / "out", root=tmp_path / "elsewhere").for_row(row("a"))
    with pytest.raises(ConfigError, match="outside of the media root"):
        outside.keep(b"sound", ".wav")


def test_a_clip_is_heard_at_the_recognisers_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(44_100) / 20), 44_100)
    context = context_of(tmp_path).for_row(row("a"))
    sound = context.sound(Medium(kind="audio", uri="a.wav"))
    assert sound.dtype == np.float32
    assert abs(len(sound) - 16_000) <= 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            Row,
            id=st.text(min_size=1, max_size=8),
            kind=st.just("clip"),
            groups=st.tuples(st.text(max_size=5)),
            turns=st.tuples(
                st.builds(
                    Turn,
                    role=st.just("user"),
                    content=st.tuples(
                        st.builds(
                            Piece,
                            type=st.just("text"),
                            text=st.text(),
                            text_ms=st.none() | st.text(),
                            media=st.none(),
                        )
                    ),
                )
            ),
            metrics=st.dictionaries(
                st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False), max_size=2
            ),
            meta=st.none()
            | st.dictionaries(st.text(max_size=3), st.text() | st.none(), max_size=2),
            media=st.just(())
            | st.tuples(
                st.builds(
                    Medium,
                    kind=st.just("image"),
                    uri=st.text(),
                    facts=st.none() | st.just({"a": [1, None]}),
                    start_s=st.none(),
                )
            ),
            gates=st.just(()),
            origins=st.just(()),
            parents=st.just(()),
            relation=st.none(),
        ),
        max_size=4,
    )
)
def test_rows_come_out_of_parquet_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pyarrow.parquet.write_table(row_table(rows), path)
    assert list(read_rows(path)) == rows
