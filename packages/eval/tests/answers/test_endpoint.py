"""A model behind an endpoint: what it is sent, what it is not asked twice, and how it fails."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from language_server import Reply, Server, serving
from questions import conversation
from worlds import read_lines, write_lines

Run = Callable[..., tuple[int, str, str]]


def ask(evaluate: Run, server: Server, data: Path, *more: object) -> tuple[int, str, str]:
    """Evaluate the model of a server."""
    where = ("--endpoint", server.url, "--model", "rival/v1")
    return evaluate(data, *where, "--max-new-tokens", 5, *more)


def cases() -> list[dict[str, Any]]:
    return read_lines(Path("evaluation") / "rival-v1" / "cases.jsonl")


def test_media_are_parts_in_their_places(evaluate: Run, data: Path) -> None:
    with serving() as server:
        code, out, err = ask(evaluate, server, data)
    assert code == 0 and "16 answers: 16 scored" in out, err
    first = next(r for r in server.requests if "both: what is 0?" in json.dumps(r))
    picture, sound, text = first["messages"][0]["content"]
    sent = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert sent == (data.parent / "3.png").read_bytes() and picture["type"] == "image_url"
    assert sound["type"] == "input_audio" and sound["input_audio"]["format"] == "wav"
    assert base64.b64decode(sound["input_audio"]["data"]) == (data.parent / "3.wav").read_bytes()
    assert text == {"type": "text", "text": "both: what is 0?"}
    assert first["temperature"] == 0.0 and first["max_tokens"] == 5


def test_modalities_that_the_protocol_does_not_know_have_parts_of_their_name() -> None:
    from mmmodal_eval.answers.media_parts import media_part

    sent = base64.b64encode(b"1,2").decode()
    assert media_part("timeseries", b"1,2") == {"type": "timeseries", "timeseries": {"data": sent}}


@pytest.mark.parametrize(("history", "read"), [("own", " answer"), ("gold", "red")])
def test_later_turns_read_the_history(evaluate: Run, data: Path, history: str, read: str) -> None:
    with serving() as server:
        assert ask(evaluate, server, data, "--history", history)[0] == 0
    last = next(r for r in server.requests if "both: what is 2?" in json.dumps(r))
    said = [turn["content"] for turn in last["messages"] if turn["role"] == "assistant"]
    assert len(said) == 2 and all(each.startswith(read) for each in said)


def test_nothing_is_asked_twice(evaluate: Run, data: Path) -> None:
    with serving() as server:
        ask(evaluate, server, data)
        before = (Path("evaluation") / "rival-v1" / "results.json").read_bytes()
        assert len(server.requests) == 16
        code, out, _ = ask(evaluate, server, data, "--json")
        assert code == 0 and json.loads(out)[0]["conversations_asked"] == 0
        assert len(server.requests) == 16
        assert (Path("evaluation") / "rival-v1" / "results.json").read_bytes() == before
        (data.parent / "0.png").write_bytes((data.parent / "1.png").read_bytes())
        ask(evaluate, server, data)
        assert len(server.requests) == 18, "two turns about the picture that changed"


def test_a_call_that_fails_is_the_outcome_of_its_question_and_asked_again_later(
    evaluate: Run, data: Path
) -> None:
    broken = True

    def reply(request: dict[str, Any], number: int) -> Reply:
        refused = broken and "clip 1: what is 1?" in json.dumps(request)
        return Reply(status=400, text="no") if refused else Reply(text="red")

    with serving(reply) as server:
        code, out, err = ask(evaluate, server, data)
        assert code == 0 and "15 scored, 1 failed" in out, err
        (failed,) = [case for case in cases() if case["outcome"] == "failed"]
        assert (failed["record"], failed["turn"]) == ("clip 1", 1) and "400" in failed["note"]
        sent, broken = len(server.requests), False
        code, out, _ = ask(evaluate, server, data)
        assert code == 0 and "16 answers: 16 scored" in out
        assert len(server.requests) == sent + 1, "its first turn was answered, and is kept"


def test_a_wrong_key_is_one_error_and_what_was_answered_is_kept(evaluate: Run, data: Path) -> None:
    refusing = True

    def reply(request: dict[str, Any], number: int) -> Reply:
        late = refusing and "text: what is 0?" in json.dumps(request)
        return Reply(status=401, text="wrong key") if late else Reply(text="red")

    with serving(reply) as server:
        code, out, err = ask(evaluate, server, data, "--concurrency", 1)
        assert (code, out) == (1, "") and "OPENAI_API_KEY" in err and err.count("Error:") == 1
        assert not (Path("evaluation") / "rival-v1").exists()
        sent, refusing = len(server.requests), False
        assert ask(evaluate, server, data)[0] == 0
        assert len(server.requests) - sent <= 16 - (sent - 1)


def test_an_endpoint_that_answers_nothing_is_one_error(evaluate: Run, data: Path) -> None:
    with serving(lambda request, number: Reply(status=400, text="no")) as server:
        code, out, err = ask(evaluate, server, data)
    assert (code, out) == (1, "") and "answered no call" in err and "400" in err


def test_answers_end_as_the_server_says(evaluate: Run, data: Path) -> None:
    def reply(request: dict[str, Any], number: int) -> Reply:
        text = json.dumps(request)
        if "clip 0" in text:
            return Reply(text="re", finish_reason="length")
        return Reply(text="" if "clip 1" in text else "red")

    with serving(reply) as server:
        code, out, err = ask(evaluate, server, data)
    assert code == 0 and "12 scored, 2 empty, 2 cut off" in out, err


def test_controls_are_asked_of_endpoints_where_the_user_says_so(evaluate: Run, data: Path) -> None:
    with serving() as server:
        ask(evaluate, server, data)
        plain = len(server.requests)
        code, out, err = ask(evaluate, server, data, "--controls")
    assert code == 0 and len(server.requests) > plain, err
    assert "image exchanged" in out and "audio left out" in out


def test_a_medium_that_cannot_be_read_fails_alone(evaluate: Run, tmp_path: Path) -> None:
    rows = [conversation("gone", ("image", "gone.png")), conversation("text", turns=1)]
    data = write_lines(tmp_path / "rows.jsonl", rows)
    with serving() as server:
        code, out, err = ask(evaluate, server, data)
    assert code == 0 and "1 scored, 2 failed" in out, err
    assert all("gone.png" in case["note"] for case in cases() if case["record"] == "gone")
