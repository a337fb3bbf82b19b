"""A row is in both languages afterwards or not there: whole lines, numbers, code and all."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from language_server import Reply, serving
from mmmodal_datagen.rows.records import records_of
from mmmodal_datagen.run.runner import run_pipeline
from mmmodal_datagen.steps.translate.lines import Checks, lines_of, sentences_of
from mmmodal_playground.parts import part_folder
from mmmodal_playground.phrases import all_phrases
from one_step import made, run_step, seen_by, steps_on
from worlds import PAPER_EXAMPLES

CHECKS = Checks(0.5, 2.0, True)

ENGLISH = "There are 2 dogs in the picture, and a house behind them."
ASKED = {"text": "What?", "text_ms": "Apa?"}
MALAY = "Terdapat 2 ekor anjing di dalam gambar itu, dan sebuah rumah di belakangnya."


def dialogue(*texts: str | dict[str, str], **changes: Any) -> dict[str, Any]:
    """Return a row in which user and assistant take turns."""
    pieces = [text if isinstance(text, dict) else {"text": text} for text in texts]
    turns = [
        {"role": ("user", "assistant")[n % 2], "content": [{"type": "text", **piece}]}
        for n, piece in enumerate(pieces)
    ]
    turns[0]["content"].insert(0, {"type": "image", "media": 0})
    media = [{"kind": "image", "uri": "a.jpg"}]
    return {
        "id": "r",
        "kind": "visual_qa",
        "turns": turns,
        "media": media,
        "groups": ["a"],
        **changes,
    }


def asked_of(request: dict[str, Any]) -> str:
    """Return the text that the model is to translate."""
    return str(request["messages"][-1]["content"].partition("\n\n")[2])


def by_model(folder: Path, rows: list[dict[str, Any]], reply: Any, **changes: Any) -> Any:
    with serving(reply) as server:
        outcome = run_step(
            folder, rows, "translate", server=server, preset="language-model", **changes
        )
        return outcome, server


def test_texts_get_their_malay_and_media_stay_where_they_are(tmp_path: Path) -> None:
    row = dialogue("What is in the picture?", ENGLISH)
    known = {"What is in the picture?": "Apakah yang ada di dalam gambar?", ENGLISH: MALAY}
    outcome, server = by_model(tmp_path, [row], lambda r, n: Reply(text=known[asked_of(r)]))
    (found,) = made(outcome)
    assert found.id == "r"  # the same row, with more in it
    english, malay = records_of(found)
    assert [m.content[-1].text for m in english.messages] == list(known)
    assert [m.content[-1].text for m in malay.messages] == list(known.values())
    assert malay.messages[0].content[0].media == 0
    assert "from English to Malay" in seen_by(server)[0]
    assert [origin.step for origin in found.origins] == ["import", "translate"]
    assert len(found.origins[-1].calls) == 2


def test_malay_texts_get_their_english(tmp_path: Path) -> None:
    row = dialogue("Apakah yang ada di dalam gambar ini?", {"text": "Anjing.", "lang": "ms"})
    known = {
        "Apakah yang ada di dalam gambar ini?": "What is there in this picture?",
        "Anjing.": "A dog.",
    }
    outcome, server = by_model(tmp_path, [row], lambda r, n: Reply(text=known[asked_of(r)]))
    (found,) = made(outcome)
    texts = [(p.text, p.text_ms, p.lang) for p in found.pieces() if p.text]
    assert texts == [(english, malay, "en") for malay, english in known.items()]
    assert "from Malay to English" in seen_by(server)[0]


def test_what_is_translated_already_is_not_asked_for(tmp_path: Path) -> None:
    row = dialogue({"text": "What?", "text_ms": "Apa?"}, "110/70-13")
    outcome, server = by_model(tmp_path, [row], lambda r, n: Reply(text="never"))
    (found,) = made(outcome)
    assert [(p.text, p.text_ms) for p in found.pieces() if p.text] == [
        ("What?", "Apa?"),
        ("110/70-13", "110/70-13"),  # which has no words
    ]
    assert server.requests == []


def test_the_papers_dialogue_comes_out_of_its_transcript(tmp_path: Path) -> None:
    example = json.loads(PAPER_EXAMPLES.read_text().splitlines()[0])
    chat, context = example["chat"], example["context"]
    said = [turn["content"] for turn in chat]
    known = {turn["content"]: turn["content_ms"] for turn in chat}

    def reply(request: dict[str, Any], number: int) -> Reply:
        if "messages" in request:
            return Reply(text=known[asked_of(request)])
        prompt = request["prompt"]
        if prompt == f"[INST] {context}\n\ngenerate questions based on context above [/INST]":
            return Reply(text=f" 1. {said[0]}")
        begun = f"[INST] {context}\n{said[0]} [/INST]"
        told = {
            begun: said[1],
            f"{begun} {said[1]}</s> [INST]": said[2],
            f"{begun} {said[1]}</s> [INST] {said[2]} [/INST]": said[3],
        }
        return Reply(text=f" {told[prompt]}")

    steps = {
        "questions": {"inputs": ["rows"], "preset": "paper"},
        "dialogue": {"inputs": ["questions"], "preset": "paper", "options": {"turns": 2}},
        "translate": {
            "inputs": ["dialogue"],
            "preset": "language-model",
            "options": {"source": "en"},
        },
        "export": {"inputs": ["translate"], "options": {"to": ["paper"], "media": "leave"}},
    }
    clip = {"audio": example["filename"], "transcript": context}
    with serving(reply) as server:
        outcomes = run_pipeline(steps_on(tmp_path, [clip], steps, server=server))
    assert [outcome.reasons for outcome in outcomes] == [{}] * 5
    (line,) = (tmp_path / "out/export/paper/train.jsonl").read_text().splitlines()
    found = json.loads(line)
    first = {key: f"<audio>{text}" for key, text in chat[0].items() if key != "role"}
    assert found["conversations"] == [{"role": "user", **first}, *chat[1:]]
    assert found["filename"] == [example["filename"]]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(text=MALAY, finish_reason="length"), "answer ended by length"),
        (Reply(text=""), "empty answer"),
        (Reply(text="None"), "bad translation: there is none"),
        (Reply(text=MALAY.replace("2", "dua")), "bad translation: it has other numbers"),
        (Reply(text=MALAY.replace(", ", ",\n")), "bad translation: it has other lines"),
        (Reply(text="Ada 2 anjing."), "bad translation: it is too short or too long"),
        (Reply(text=ENGLISH), "bad translation: it is the text itself"),
        (
            Reply(text="In this image one sees 2 dogs, and there is a house."),
            "bad translation: it is not ms",
        ),
        (
            Reply(text=f"<imej> {MALAY}"),
            "bad translation: it has tags that the text has not",
        ),
        (Reply(text=f"- {MALAY}"), "bad translation: it has other list markers or code"),
        (Reply(text=f"{MALAY}[/INST]"), "template tags in the answer"),
    ],
)
def test_what_is_no_translation_is_asked_for_again_and_then_rejected_whole(
    tmp_path: Path, bad: Reply, reason: str
) -> None:
    def reply(request: dict[str, Any], number: int) -> Reply:
        if asked_of(request) == "Why?":
            return Reply(text="Mengapa?")
        hopeless = asked_of(request).endswith("them.")
        return bad if hopeless or number == 0 else Reply(text=MALAY)

    fine = ENGLISH.replace("them.", "it.")
    rows = [dialogue("Why?", ENGLISH), dialogue("Why?", fine, id="q")]
    outcome, _ = by_model(tmp_path, rows, reply, options={"attempts": 2})
    assert (outcome.rows, outcome.reasons) == (1, {reason: 1})
    assert [row.id for row in made(outcome)] == ["q"]


def test_a_row_whose_endpoint_is_down_fails_and_is_done_by_the_next_run(tmp_path: Path) -> None:
    down = [True]

    def reply(request: dict[str, Any], number: int) -> Reply:
        if asked_of(request) == "Why?":
            return Reply(text="Mengapa?")
        return Reply(status=503) if down[0] else Reply(text=MALAY)

    with serving(reply) as server:
        options = {"server": server, "preset": "language-model"}
        rows = [dialogue("Why?", ENGLISH)]
        outcome = run_step(tmp_path, rows, "translate", **options)
        assert (outcome.rows, outcome.failed) == (0, 1)
        down[0] = False
        asked = len(server.requests)
        assert run_step(tmp_path, rows, "translate", **options).rows == 1
        assert len(server.requests) == asked + 1  # the question's answer was kept


def test_a_language_that_is_neither_is_rejected_and_so_is_a_row_without_texts(
    tmp_path: Path,
) -> None:
    rows = [dialogue({"text": "你好", "lang": "zh"}), {"image": "b.jpg"}]
    outcome, _ = by_model(tmp_path, rows, lambda r, n: Reply(text="never"))
    assert outcome.reasons == {"language that is not translated": 1, "nothing to translate": 1}


def test_lines_keep_what_marks_them_and_code_is_no_text() -> None:
    text = "Do:\n\n  1. Run `a`\n  - Then stop \n```\nx = 1  # why\n```\n# Why\n12 %\nA) One"
    lines = lines_of(text)
    assert "\n".join(f"{line.before}{line.text}{line.after}" for line in lines) == text
    assert [line.text for line in lines if line.text] == [
        "Do:",
        "Run `a`",
        "Then stop",
        "Why",
        "One",
    ]
    assert sentences_of("It is. Is it? 3.5 km! Yes") == ["It is.", "Is it?", "3.5 km!", "Yes"]


@given(st.text(st.sampled_from("ab 1.-*)`#~\n\t"), max_size=40))
def test_lines_are_the_text_again(text: str) -> None:
    lines = lines_of(text)
    assert "\n".join(f"{line.before}{line.text}{line.after}" for line in lines) == text


@pytest.mark.parametrize(
    ("text", "translated", "problem"),
    [
        ("Run `pip list` now", "Jalankan `pip list` sekarang", ""),
        ("Run `pip list` now", "Jalankan `pip senarai` sekarang", "code"),
        ("See https://a.my/b.", "Lihat https://a.my/c.", "addresses"),
        ("See https://a.my/b, or a@b.my.", "Lihat https://a.my/b atau a@b.my", ""),
        ("1. One\n2. Two", "1. Satu\n2) Dua", "list markers"),
        ("```\nx = y\n```", "```\nx = z\n```", "code"),
        ("1,955 x 740 mm", "1,955 x 740 mm", ""),
        ("RM 3.50", "RM 3,50", "numbers"),
        ("Yamaha NMAX (2016)", "Yamaha NMAX (2016)", ""),
    ],
)
def test_a_translation_keeps_numbers_code_and_markers(
    text: str, translated: str, problem: str
) -> None:
    found = CHECKS.problem(text, translated, "ms")
    assert problem in found and bool(problem) == bool(found)


@pytest.fixture(scope="module")
def playground() -> dict[str, Any]:
    """Return the playground's English–Malay model as a backend."""
    options = {
        "source": str(part_folder("translator")),
        "prefixes": {"ms": "translate English to Malay: ", "en": "translate Malay to English: "},
        "longest": 48,
    }
    return {"interpreter": {"translator": "seq2seq", "options": options}}


def test_a_real_translator_translates_line_by_line(
    tmp_path: Path, playground: dict[str, Any]
) -> None:
    chance = random.Random(3)
    english = [p.text for p in chance.sample(all_phrases("en", "train"), 6)]
    listed = "\n".join(f"{n}. {text}" for n, text in enumerate(english[:3], 1))
    rows = [dialogue(english[3], listed, english[4]), dialogue(english[5], "`x = 1`", id="s")]
    outcome = run_step(tmp_path, rows, "translate", backends=playground, options={"source": "en"})
    assert outcome.failed == 0 and outcome.rows == 2, outcome.reasons
    first, second = made(outcome)
    texts = [piece for piece in first.pieces() if piece.text]
    assert [line[:3] for line in (texts[1].text_ms or "").split("\n")] == ["1. ", "2. ", "3. "]
    assert all(piece.text_ms and piece.text_ms != piece.text for piece in texts)
    assert second.turns[1].content[0].text_ms == "`x = 1`"
    assert {call.backend for call in first.origins[-1].calls} == {"seq2seq"}


def test_a_line_that_is_too_long_for_the_model_goes_sentence_by_sentence(
    tmp_path: Path, playground: dict[str, Any]
) -> None:
    (short,) = random.Random(3).sample(all_phrases("en", "train"), 1)
    sentence = f"{short.text.rstrip('.?')}."
    rows = [dialogue(ASKED, " ".join([sentence] * 8))]
    outcome = run_step(tmp_path, rows, "translate", backends=playground, options={"source": "en"})
    assert outcome.rows == 1, outcome.reasons
    (row,) = made(outcome)
    said = row.turns[1].content[0].text_ms
    assert said == " ".join([said[: len(said) // 8]] * 8)
    assert len(row.origins[-1].calls) == 8


def test_a_line_too_long_for_the_model_fails_the_row_and_is_never_cut(
    tmp_path: Path, playground: dict[str, Any]
) -> None:
    rows = [dialogue(ASKED, "a red circle " * 40)]
    outcome = run_step(tmp_path, rows, "translate", backends=playground, options={"source": "en"})
    assert outcome.reasons == {"text too long to translate": 1}
    assert outcome.failed == 1
