"""Dialogues are made as the paper prints it, turn after turn, and nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from language_server import Reply, Server, serving
from mmmodal.config import validate
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.prompts.prompt import format_prompt, format_user
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from worlds import read_lines, write_lines


def write_questions(folder: Path, number: int) -> None:
    """Write rows of one clip with its transcript and a first question."""
    rows = [
        {
            "id": f"clip-{index}",
            "kind": "clip",
            "turns": [{"role": "user", "content": [{"type": "text", "text": f"Why {index}?"}]}],
            "media": [
                {"kind": "audio", "uri": f"{index}.mp3", "description": f"transkrip {index}"}
            ],
            "groups": [f"video-{index // 2}"],
        }
        for index in range(number)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")


def dialogue_pipeline(folder: Path, server: Server, **changes: Any) -> Pipeline:
    """Return the pipeline from questions to dialogues."""
    options = {"model": "mixtral", "base_url": server.url, "endpoint": "here", "backoff_s": 0.01}
    values: dict[str, Any] = {
        "out": folder / "out",
        "root": folder,
        "shard_rows": 4,
        "backends": {
            "writer": {
                "language_model": "openai",
                "options": options | changes.pop("endpoint", {}),
            }
        },
        "steps": {
            "questions": {"step": "import", "options": {"files": ["questions.jsonl"]}},
            "dialogue": {"inputs": ["questions"], "options": changes.pop("options", {})},
        },
    }
    return validate(Pipeline, values | changes, "test")


def published(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all that a pipeline made, but for the store of answers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "out").rglob("*"))
        if path.is_file() and "calls" not in path.parts
    }


def made(outcomes: list[StepOutcome]) -> list[Any]:
    return [row for file in outcomes[-1].files for row in file.read()]


def test_the_prompts_are_the_papers_byte_for_byte() -> None:
    history = [("transkrip\nWhy?", "Because."), ("So?", "Yes.")]
    assert format_prompt("And?", history) == (
        "<s>[INST] transkrip\nWhy? [/INST] Because.</s> [INST] So? [/INST] Yes.</s> "
        "[INST] And? [/INST]"
    )
    assert format_user(history) == (
        "<s>[INST] transkrip\nWhy? [/INST] Because.</s> [INST] So? [/INST] Yes.</s> [INST]"
    )


def test_a_dialogue_grows_turn_by_turn_from_what_was_said(tmp_path: Path) -> None:
    write_questions(tmp_path, 5)
    with serving() as server:
        outcomes = run_pipeline(dialogue_pipeline(tmp_path, server))
    rows = made(outcomes)
    assert [row.parents for row in rows] == [(f"clip-{n}",) for n in range(5)]
    first = rows[0]
    assert [turn.role for turn in first.turns] == ["user", "assistant"] * 3
    assert [piece.type for piece in first.turns[0].content] == ["audio", "text"]
    texts = [turn.content[-1].text for turn in first.turns]
    assert texts[0] == "Why 0?"
    history = [("transkrip 0\nWhy 0?", texts[1]), (texts[2], texts[3])]
    prompts = [request["prompt"] for request in server.requests]
    # The server adds `<s>` by itself.
    assert format_user(history).removeprefix("<s>") in prompts
    assert format_prompt(texts[4], history).removeprefix("<s>") in prompts
    assert len(prompts) == len(set(prompts)) == 25


def test_a_row_tells_every_call_that_made_it(tmp_path: Path) -> None:
    write_questions(tmp_path, 1)
    with serving() as server:
        (row,) = made(run_pipeline(dialogue_pipeline(tmp_path, server)))
    assert [origin.step for origin in row.origins] == ["import", "dialogue"]
    calls = row.origins[-1].calls
    assert len(calls) == 5
    assert {call.model for call in calls} == {"mixtral-served"}
    assert {call.finish_reason for call in calls} == {"stop"}
    assert calls[0].parameters["temperature"] == 1.0
    assert len({call.request_sha256 for call in calls}) == 5


def test_a_row_tells_what_was_asked_and_not_what_the_endpoint_refused(tmp_path: Path) -> None:
    write_questions(tmp_path, 1)

    def reply(request: dict[str, Any], number: int) -> Reply:
        error = {"error": {"message": "Unknown parameter: 'top_k'.", "param": "top_k"}}
        refused = Reply(status=400, body=json.dumps(error).encode())
        return refused if "top_k" in request else Reply(text=" yes")

    with serving(reply) as server:
        pipeline = dialogue_pipeline(tmp_path, server)
        with pytest.warns(UserWarning, match="`top_k` is refused, and it is left out from now on"):
            (row,) = made(run_pipeline(pipeline))
        assert len(server.requests) == 5 + 1
        again = dialogue_pipeline(tmp_path, server, shard_rows=5)
        assert made(run_pipeline(again)) == [row]
        assert len(server.requests) == 5 + 1
    assert {"temperature", "top_p", "max_tokens"} <= row.origins[-1].calls[0].parameters.keys()
    assert all("top_k" not in call.parameters for call in row.origins[-1].calls)


def test_a_dialogue_about_a_transcript_that_people_wrote_is_told_as_a_models(
    tmp_path: Path,
) -> None:
    write_questions(tmp_path, 1)
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), "synthetic": False}) + "\n")
    with serving() as server:
        (row,) = made(run_pipeline(dialogue_pipeline(tmp_path, server)))
    assert row.synthetic


def test_a_finished_run_asks_nothing_and_changes_nothing(tmp_path: Path) -> None:
    write_questions(tmp_path, 9)
    with serving() as server:
        pipeline = dialogue_pipeline(tmp_path, server)
        run_pipeline(pipeline)
        before, asked = published(tmp_path), len(server.requests)
        again = run_pipeline(pipeline)
        assert len(server.requests) == asked
    assert published(tmp_path) == before
    assert [outcome.done for outcome in again] == [0, 0]


def test_another_option_makes_new_shards_and_replays_what_is_known(tmp_path: Path) -> None:
    write_questions(tmp_path, 4)
    with serving() as server:
        run_pipeline(dialogue_pipeline(tmp_path, server, options={"turns": 2}))
        asked = len(server.requests)
        rows = made(run_pipeline(dialogue_pipeline(tmp_path, server, options={"turns": 3})))
        assert len(server.requests) == asked + 4 * 2
    assert {len(row.turns) for row in rows} == {6}


def test_a_chat_endpoint_plays_the_user_with_the_roles_swapped(tmp_path: Path) -> None:
    write_questions(tmp_path, 1)
    with serving() as server:
        options = {"prompt": "chat", "turns": 2}
        (row,) = made(run_pipeline(dialogue_pipeline(tmp_path, server, options=options)))
    answer, question, last = (request["messages"] for request in server.requests)
    assert [turn["role"] for turn in answer] == ["user"]
    assert [turn["role"] for turn in question] == ["system", "user"]
    assert question[0]["content"].endswith("transkrip 0\nWhy 0?")
    assert question[1]["content"] == row.turns[1].content[0].text
    assert [turn["role"] for turn in last] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(text="cut", finish_reason="length"), "answer ended by length"),
        (Reply(text="  "), "empty answer"),
        (Reply(text="well [/INST] no"), "template tags in the answer"),
    ],
)
def test_an_unfit_answer_is_asked_for_again_and_then_rejected(
    tmp_path: Path, bad: Reply, reason: str
) -> None:
    write_questions(tmp_path, 3)

    def reply(request: dict[str, Any], number: int) -> Reply:
        if "transkrip 1" in request["prompt"]:
            return bad
        # What is unfit once is fit when it is asked for again.
        return bad if number == 0 else Reply(text=" fine")

    with serving(reply) as server:
        pipeline = dialogue_pipeline(tmp_path, server, options={"turns": 1, "attempts": 2})
        outcome = run_pipeline(pipeline)[-1]
        assert (outcome.rows, outcome.rejected, outcome.failed) == (2, 1, 0)
        assert outcome.reasons == {reason: 1}
        asked = len(server.requests)
        run_pipeline(pipeline)
        assert len(server.requests) == asked == 6
    assert "<s>" not in str([turn for row in made([outcome]) for turn in row.turns])


def test_stop_text_that_a_server_keeps_does_not_leak(tmp_path: Path) -> None:
    write_questions(tmp_path, 1)
    with serving(lambda request, number: Reply(text=" so?</s>\n[INST] more")) as server:
        (row,) = made(run_pipeline(dialogue_pipeline(tmp_path, server, options={"turns": 2})))
    assert row.turns[2].content[0].text == "so?"


def test_rows_without_a_description_or_question_are_rejected(tmp_path: Path) -> None:
    write_questions(tmp_path, 2)
    path = tmp_path / "questions.jsonl"
    rows = read_lines(path)
    del rows[0]["media"][0]["description"]
    rows[1]["turns"] = []
    write_lines(path, rows)
    with serving() as server:
        outcome = run_pipeline(dialogue_pipeline(tmp_path, server))[-1]
    assert outcome.reasons == {"no description": 1, "no question": 1}
    assert server.requests == []
