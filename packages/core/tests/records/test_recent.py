"""Records that were found and not used yet: the last ones, up to some memory, without any data."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from mmmodal.contracts.record import Record
from mmmodal.media.source import InMemory, Source
from mmmodal.records.reading import RecordPlace
from mmmodal.records.recent import RecentRecords
from mmmodal.records.stream import RecordStream
from poison import text_row
from worlds import write_lines


def place(number: int) -> RecordPlace:
    return RecordPlace(0, (number, 1), number, "native", 0)


def record(number: int, **changes: Any) -> Record:
    return Record.model_validate({**text_row(f"row {number}", f"word {number}"), **changes})


def with_media(uri: Any) -> Record:
    content = [{"type": "image", "media": 0}, {"type": "text", "text": "What is it?"}]
    messages = [{"role": "user", "content": content}]
    return record(0, messages=messages, media=[{"kind": "image", "uri": uri}])


def test_the_last_records_are_kept() -> None:
    recent = RecentRecords(100_000)
    for number in range(1000):
        recent.add(place(number), f"rows:{number}", record(number))
    kept = [number for number in range(1000) if recent.get(place(number))]
    assert 10 < len(kept) < 50
    assert kept == list(range(1000 - len(kept), 1000))
    assert recent.get(place(999)) == ("rows:999", record(999))


def test_a_record_that_is_found_again_takes_no_more_memory() -> None:
    recent = RecentRecords(100_000)
    for _ in range(1000):
        for number in range(10):
            recent.add(place(number), "rows", record(number))
    assert all(recent.get(place(number)) for number in range(10))


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": {f"key {n}": [n, {"value": float(n)}] for n in range(300)}},
        {"meta": {"numbers": [*range(300, 5000)]}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "字" * 20_000}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 300}]},
        {"id": "x" * 50_000},
        {},
    ],
    ids=["nested", "numbers", "text", "parts", "id", "plain"],
)
def test_kept_records_take_no_more_than_the_capacity(changes: dict[str, Any]) -> None:
    capacity = 1_000_000
    recent = RecentRecords(capacity)
    recent.add(place(-1), "rows", record(-1))
    tracemalloc.start()
    try:
        for number in range(100):
            recent.add(place(number), "rows", record(number, **_copied(changes)))
        assert tracemalloc.get_traced_memory()[0] < 1.25 * capacity  # and what reading one takes
    finally:
        tracemalloc.stop()


def _copied(changes: dict[str, Any]) -> Any:
    return pickle.loads(pickle.dumps(changes))  # as each row is parsed anew


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("a.png", True),
        (Source("a.tar::a.png", path=Path("a.tar"), member="a.png"), True),
        (Source("row 1 image", cell=InMemory(b"abc")), False),
        (Source("row 1 image", data=b"abc"), False),
    ],
)
def test_no_bytes_of_media_are_kept(uri: Any, kept: bool) -> None:
    recent = RecentRecords()
    recent.add(place(0), "rows", with_media(uri))
    assert (recent.get(place(0)) is not None) == kept


def test_a_stream_does_not_read_a_record_again_that_it_has_found(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [text_row(f"row {n}", "word") for n in range(9)])
    stream = RecordStream([path])
    found = [each for row in stream.rows(0, 0) for each in row if isinstance(each, RecordPlace)]
    again = pickle.loads(pickle.dumps(stream))
    assert [stream.record(each) for each in found] == [again.record(each) for each in found]
    first = stream.record(found[0])[1]
    assert stream.record(found[0])[1] is first
    assert again.record(found[0])[1] is not again.record(found[0])[1]
