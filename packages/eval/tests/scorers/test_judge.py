"""A judge behind an endpoint: both orders, kept verdicts, errors that are no zeros."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from language_server import Reply, Server, serving
from mmmodal_datagen.contracts import Failed, StopRun
from mmmodal_eval.contracts import Expected, Score
from mmmodal_eval.parts import scorer
from mmmodal_eval.scorers.verdicts import verdict

EXPECTED = Expected(("A red car.",), language="en", question="What is it?")


def fair(request: dict[str, Any], number: int) -> Reply:
    """Judge as a careful judge would, by what stands between the tags."""
    asked = request["messages"][0]["content"]
    answer = asked.split("<answer>\n")[1].split("\n</answer>")[0]
    if answer == "fail":
        return Reply(status=400)
    if answer == "mumble":
        return Reply("Perhaps.")
    if answer == "order":  # likes what comes second
        swapped = asked.index("<answer>") < asked.index("<reference>")
        return Reply(f"Verdict: {'WRONG' if swapped else 'RIGHT'}")
    return Reply(f"It says so.\n**Verdict:** {'RIGHT' if 'red' in answer else 'WRONG'}")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(fair) as found:
        yield found


@pytest.fixture
def judge(server: Server, tmp_path: Path) -> Callable[..., Any]:
    given = {"model": "m", "base_url": server.url, "kept": str(tmp_path), "backoff_s": 0}
    return lambda **options: scorer("judge", {**given, **options})


def test_only_verdicts_that_agree_count(judge: Callable[..., Any], server: Server) -> None:
    said = ["red", "a red car that is very long indeed", "blue", "order", ""]

    scores = judge().score_all([(each, EXPECTED) for each in said])

    assert [score.counts[:3] for score in scores] == [
        (1, 1, 0),
        (1, 1, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0, 1, 0),
    ]
    assert [score.read for score in scores] == ["right", "right", "wrong", None, None]
    totals = [sum(column) for column in zip(*(score.counts for score in scores), strict=True)]
    assert judge().figure(totals) == 2 / 4
    assert judge().notes(totals) == [
        "The judge's verdicts on 1 of 5 answers (20.0%) depend on the order of reference and answer, "
        "and do not count; 1 of them are right only with the reference in front.",
        "Of the answers longer than their references 100.0% are right, of the others 33.3%.",
    ]
    assert len(server.requests) == 2 * 4


def test_nothing_is_asked_twice(judge: Callable[..., Any], server: Server) -> None:
    first = judge().score("red", EXPECTED)
    again = judge().score("red", EXPECTED)

    assert first == again and len(server.requests) == 2
    judge(rubric="Be kind.").score("red", EXPECTED)
    assert len(server.requests) == 4
    assert "Be kind." in server.requests[-1]["messages"][0]["content"]
    assert judge(rubric="Be kind.").signature() != judge().signature()


def test_an_error_is_one_of_its_case_and_no_zero(judge: Callable[..., Any]) -> None:
    failed, unread, fine = judge().score_all(
        [(each, EXPECTED) for each in ("fail", "mumble", "red")]
    )

    assert isinstance(failed, Failed) and "refuses" in str(failed)
    assert isinstance(unread, Failed) and "gives no verdict" in str(unread)
    assert isinstance(fine, Score) and fine.counts[0] == 1
    with pytest.raises(Failed, match="gives no verdict.*Perhaps"):
        judge().score("mumble", EXPECTED)


def test_an_endpoint_that_refuses_all_stops_and_keeps_what_it_said(tmp_path: Path) -> None:
    closed = False

    def reply(request: dict[str, Any], number: int) -> Reply:
        return Reply(status=401) if closed else fair(request, number)

    with serving(reply) as server:
        options = {"model": "m", "base_url": server.url, "kept": str(tmp_path)}
        found = scorer("judge", options)
        found.score("red", EXPECTED)
        closed = True
        with pytest.raises(StopRun, match="the key is refused"):
            found.score_all([("red", EXPECTED), ("blue", EXPECTED)])
        assert found.score("red", EXPECTED).counts[0] == 1


def test_malay_is_judged_in_malay(judge: Callable[..., Any], server: Server) -> None:
    judge().score("red", Expected(("Kereta merah.",), language="ms", question="Apa ini?"))

    assert "Keputusan: BETUL" in server.requests[0]["messages"][0]["content"]


def test_it_runs_inside_an_event_loop(judge: Callable[..., Any]) -> None:
    async def inside() -> Score:
        score: Score = judge().score("red", EXPECTED)
        return score

    assert asyncio.run(inside()).counts[0] == 1


def test_a_figure_without_verdicts_is_no_number(judge: Callable[..., Any]) -> None:
    assert str(judge().figure((0.0, 0.0, 3.0, 1.0, 0.0, 0.0))) == "nan"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Verdict: RIGHT", True),
        ("The same.\n\nverdict: wrong.", False),
        ("**Verdict:** *RIGHT*", True),
        ("Keputusan: BETUL", True),
        ("Maksudnya lain.\nKeputusan: SALAH", False),
        ("RIGHT", True),
        (" **Salah** ", False),
        ("Verdict: RIGHT or Verdict: WRONG", None),
        ("It is right, I think.", None),
        ("Verdict: rightly so", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_or_not(said: str, found: bool | None) -> None:
    assert verdict(said) is found
