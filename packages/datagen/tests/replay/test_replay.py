"""Answers are kept before they are used, asked for once, and never mixed up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mmmodal_datagen.contracts import BackendError, StopRun
from mmmodal_datagen.replay.store import ReplayStore


def ask_of(store: ReplayStore, request: dict[str, Any], asked: list[Any], text: str = "yes") -> Any:
    async def ask() -> dict[str, Any]:
        asked.append(request)
        await asyncio.sleep(0.01)
        return {"text": text}

    return store.answer(request, ask)


def test_the_same_request_is_asked_once_also_by_two_tasks_at_once(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def work() -> list[Any]:
        store = ReplayStore(tmp_path)
        found = await asyncio.gather(*(ask_of(store, {"prompt": "a"}, asked) for _ in range(9)))
        store.close()
        again = ReplayStore(tmp_path)
        found.append(await ask_of(again, {"prompt": "a"}, asked))
        again.close()
        return found

    found = asyncio.run(work())
    assert len(asked) == 1
    assert {each.values["text"] for each in found} == {"yes"}
    assert [each.replayed for each in found].count(False) == 1


@pytest.mark.parametrize("changed", ["prompt", "model", "temperature", "attempt", "system"])
def test_any_part_of_a_request_makes_another_one(tmp_path: Path, changed: str) -> None:
    request = {"prompt": "a", "model": "m", "temperature": 1.0, "attempt": 0, "system": "s"}
    asked: list[Any] = []

    async def work() -> None:
        store = ReplayStore(tmp_path)
        await ask_of(store, request, asked)
        await ask_of(store, dict(reversed(request.items())), asked)
        await ask_of(store, request | {changed: 7}, asked)
        store.close()

    asyncio.run(work())
    assert len(asked) == 2


def test_an_error_is_not_kept(tmp_path: Path) -> None:
    asked: list[Any] = []

    async def fail() -> dict[str, Any]:
        raise BackendError("endpoint did not answer")

    async def work() -> Any:
        store = ReplayStore(tmp_path)
        with pytest.raises(BackendError):
            await store.answer({"prompt": "a"}, fail)
        found = await ask_of(store, {"prompt": "a"}, asked)
        store.close()
        return found

    assert asyncio.run(work()).replayed is False
    assert len(asked) == 1


def test_writers_read_what_others_have_kept_and_the_first_answer_counts(tmp_path: Path) -> None:
    async def work() -> list[str]:
        asked: list[Any] = []
        first = ReplayStore(tmp_path, writer="calls-0", shared=True)
        await ask_of(first, {"prompt": "a"}, asked, "one")
        second = ReplayStore(tmp_path, writer="calls-1", shared=True)
        same = ReplayStore(tmp_path, writer="calls-0", shared=True)
        found = [await ask_of(second, {"prompt": "a"}, asked, "two")]
        # Two processes that ask at the same time: what was kept first is what both get.
        found += await asyncio.gather(
            ask_of(first, {"prompt": "b"}, asked, "one"),
            ask_of(same, {"prompt": "b"}, asked, "two"),
        )
        for store in (first, second, same):
            store.close()
        return [each.values["text"] for each in found]

    answers = asyncio.run(work())
    assert answers[0] == "one"
    assert answers[1] == answers[2]


def test_several_answers_are_kept_at_once_and_found_without_a_loop(tmp_path: Path) -> None:
    store = ReplayStore(tmp_path, writer="one")
    store.keep([({"prompt": number}, {"text": f"said {number}"}) for number in range(3)])
    store.keep([({"prompt": 2}, {"text": "too late"}), ({"prompt": 3}, {"text": "said 3"})])
    store.close()
    other = ReplayStore(tmp_path, writer="two")
    assert [other.find({"prompt": n}) for n in (0, 2, 3)] == [
        {"text": f"said {n}"} for n in (0, 2, 3)
    ]
    assert other.find({"prompt": 4}) is None
    other.close()


def test_the_damaged_file_of_another_writer_is_named(tmp_path: Path) -> None:
    (tmp_path / "theirs.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StopRun, match=r"theirs\.sqlite.*remove it"):
        ReplayStore(tmp_path, writer="ours")


def test_a_damaged_store_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StopRun, match=r"calls\.sqlite.*remove it; its calls will be made again"):
        ReplayStore(tmp_path)
