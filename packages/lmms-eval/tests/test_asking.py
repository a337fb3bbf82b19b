"""Requests get the answers that core gives; errors are raised by the document's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mmmodal.authoring.parts import ConfigError, RecordError
from mmmodal.authoring.records import Record
from mmmodal.authoring.training import Answer, Dialogue, answer_dialogues
from mmmodal_lmms_eval.arguments import ModelArguments
from mmmodal_lmms_eval.asking import Asker, Request, remarks
from mmmodal_lmms_eval.likelihood import Continuation, losses
from mmmodal_lmms_eval.messages import question, record_of
from mmmodal_lmms_eval.rounds import Rounds, ask_in_rounds
from worlds import picture

SHORT = {"max_new_tokens": 4}


@pytest.fixture(scope="module")
def asker(model: Any) -> Asker:
    """What asks the tiny model, two documents together."""
    return Asker(model, ModelArguments(model="tiny", batch_size=2))


def request(
    number: int, text: str, *visuals: Any, generation: Mapping[str, Any] = SHORT
) -> Request:
    return Request("t", number, lambda: question(visuals, text), generation)


def core(model: Any, record: Record, **settings: Any) -> list[Answer]:
    """Return core's answers to the turns of a record."""
    ((_, answers),) = answer_dialogues(
        model, [Dialogue(record, Path.cwd(), settings.pop("history", "own"), settings.pop("choices", {}))], temperature=0, **settings
    )  # fmt: skip
    return answers


def record(*said: dict[str, Any]) -> Record:
    return record_of(list(said), "task t, document 0", ("image", "audio"))


def test_answers_come_in_order_whatever_their_settings(asker: Asker, model: Any) -> None:
    lengths = [4, 2, 4, 2, 4]
    asked = [
        request(n, f"Question {n}", picture(n), generation={"max_new_tokens": length})
        for n, length in enumerate(lengths)
    ]
    counts: list[int] = []
    answers = asker.answers(asked, counts.append)
    expected = [
        core(model, record(*each.messages()), max_new_tokens=length)[0].text
        for each, length in zip(asked, lengths, strict=True)
    ]
    assert [answer.text for answer in answers] == expected
    assert len(set(expected)) > 1
    assert counts == [2, 1, 2]


def test_a_launchers_other_processes_take_no_documents_away(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request(n, f"Question {n}") for n in range(3)]
    alone = [answer.text for answer in asker.answers(asked)]
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        assert [answer.text for answer in asker.answers(asked)] == alone


def test_an_error_names_the_document_and_is_no_answer(asker: Asker, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.png")
    with pytest.raises(RecordError, match=r"task t, document 7: .*gone\.png: no such file"):
        asker.answers([request(6, "A"), request(7, "B", gone)])


@pytest.mark.parametrize("name", ["image_aspect_ratio", "seed", "num_return_sequences"])
def test_a_setting_that_cannot_act_is_refused(asker: Asker, name: str) -> None:
    asked = request(0, "A", generation={name: 3, "max_new_tokens": 1})
    with pytest.raises(ConfigError, match=f"(?s)generation_kwargs of task t:.*{name}.*leave_out="):
        asker.answers([asked])


def test_earlier_answers_are_read_as_they_stand(asker: Asker, model: Any) -> None:
    said = [*question([picture(2)], "What?"), {"role": "assistant", "content": "A cat."}, *question([], "Why?")]  # fmt: skip
    (answer,) = asker.answers([Request("t", 0, lambda: said, SHORT)])
    gold = core(model, record(*said), history="gold", max_new_tokens=4)
    assert answer.text == gold[-1].text


def test_rounds_end_where_the_task_says_so(asker: Asker, model: Any) -> None:
    told: list[Any] = []

    def messages_of(round_idx: int, previous_output: list[str], previous_round_info: Any) -> Any:
        told.append((round_idx, list(previous_output), previous_round_info))
        said = question([picture(1)], f"Round {round_idx}: {previous_output[-1]}")
        return said, round_idx == 3, previous_output, round_idx * 10

    several = Rounds(request(0, "Begin", picture(1)), messages_of)
    single = Rounds(request(1, "Once"), lambda **told: question([], "Once"))
    ask_in_rounds(asker, [single, several])
    assert single.texts == [asker.answers([request(1, "Once")])[0].text]
    expected = [asker.answers([request(0, "Begin", picture(1))])[0].text]
    for number in (1, 2):
        again = request(0, f"Round {number}: {expected[-1]}", picture(1))
        expected.append(asker.answers([again])[0].text)
    assert several.texts == expected
    assert told == [(n, expected[:n], (n - 1) * 10 or None) for n in (1, 2, 3)]


def test_a_broken_protocol_of_rounds_is_refused(asker: Asker) -> None:
    broken = Rounds(request(5, "Begin"), lambda **told: ([], False))
    with pytest.raises(RecordError, match="document 5: .* returns 2 values for round 1"):
        ask_in_rounds(asker, [broken])


def continuation(text: str, number: int = 0) -> Continuation:
    return Continuation("t", "test", number, "Which?", lambda: [picture(number)], text)


def test_losses_are_those_of_core_and_the_lowest_is_the_best(asker: Asker, model: Any) -> None:
    choices = ("a", "blue", "a blue cat")
    asked = [continuation(f" {text}", number) for text in choices for number in (0, 1)]
    found = losses(asker, asked)
    for number in (0, 1):
        said = core(
            model, record(*question([picture(number)], "Which?")), choices={0: choices}, max_new_tokens=1
        )  # fmt: skip
        mine = [
            loss for (loss, _), each in zip(found, asked, strict=True) if each.document == number
        ]
        assert mine == pytest.approx([-each for each in said[0].likelihoods], rel=1e-4)


def test_what_the_model_says_is_known_as_such(asker: Asker) -> None:
    (said,) = asker.answers([request(0, "Which?", picture(0))])
    tokens = asker.tokens(said.text)
    assert len(tokens) > 1
    asked = [continuation(f" {said.text}"), continuation(" zebra")]
    assert [is_said for _, is_said in losses(asker, asked)] == [True, False]


def test_an_empty_choice_is_refused(asker: Asker) -> None:
    with pytest.raises(RecordError, match="document 0: nothing of the answer ''"):
        losses(asker, [continuation(" "), continuation(" a")])


def test_empty_and_shortened_answers_are_told() -> None:
    whole = Answer("a", is_whole=True, tokens=1)
    assert remarks([whole]) == []
    empty, short = remarks([whole, Answer("", True, 0), Answer("b", True, 1, left_out=2)])
    assert empty.startswith("1 of 3 answers are empty")
    assert short.startswith("the oldest turns were left out of 1 of 3 prompts")
