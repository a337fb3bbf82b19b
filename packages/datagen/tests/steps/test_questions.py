"""Questions come from what a transcript says, by the paper's prompt, and each becomes a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from language_server import Reply, serving
from mmmodal.errors import ConfigError
from mmmodal_datagen.run.runner import run_pipeline
from mmmodal_datagen.steps.questions import paper_questions, questions_in
from one_step import made, run_step, seen_by, steps_on
from worlds import PAPER_EXAMPLES

LISTED = """Here are some questions:

1. Why do people invest in Ethereum?
2. "What does the bank accept of the price?"
**3. Why do people invest in ethereum?**
4) Is it?
- How many percent does the bank of Kajang pay?
Soalan 6: Mengapakah beliau tidak berasa selesa?
1.5 million ringgit, is that much for a house?
That is all."""


def clip(name: str, said: str = "saya beli rumah di Kajang") -> dict[str, Any]:
    return {"id": name, "audio": f"{name}.mp3", "transcript": said, "group": f"video-{name}"}


def texts(outcome: Any) -> list[str]:
    return [row.turns[0].content[0].text for row in made(outcome)]


def test_the_prompt_is_the_papers_byte_for_byte(tmp_path: Path) -> None:
    example = json.loads(PAPER_EXAMPLES.read_text().splitlines()[0])
    with serving(lambda request, number: Reply(text=" 1. Why is it so, and not so?")) as server:
        row = {"audio": "a.mp3", "transcript": example["context"]}
        run_step(tmp_path, [row], "questions", server=server)
    (prompt,) = seen_by(server)
    instruction = f"{example['context']}\n\ngenerate questions based on context above"
    assert prompt == f"[INST] {instruction} [/INST]"  # the server adds `<s>`
    sent = server.requests[0]
    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["max_tokens"]) == (
        1.0,
        0.95,
        50,
        4096,
    )


def test_a_list_of_questions_is_read_without_its_numbers_and_each_once(tmp_path: Path) -> None:
    with serving(lambda request, number: Reply(text=LISTED)) as server:
        outcome = run_step(tmp_path, [clip("a")], "questions", server=server)
    assert texts(outcome) == [
        "Why do people invest in Ethereum?",
        "What does the bank accept of the price?",
        "How many percent does the bank of Kajang pay?",
        "Mengapakah beliau tidak berasa selesa?",
        "1.5 million ringgit, is that much for a house?",
    ]
    assert {row.parents for row in made(outcome)} == {("a",)}
    assert {row.kind for row in made(outcome)} == {"clip"}
    assert len({row.id for row in made(outcome)}) == 5


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "以下是问题：\n1、图片里的正方形是什么颜色的？\n（2）他们在河边做什么呢？",
            ["图片里的正方形是什么颜色的？", "他们在河边做什么呢？"],
        ),
        (
            "问题1：“图片里的正方形是什么颜色？”\n2.他们在河边做什么呢？",
            ["图片里的正方形是什么颜色？", "他们在河边做什么呢？"],
        ),
        (
            "質問です。\n1. この写真の四角は何色ですか。\n・彼らは何をしていますか？",
            ["この写真の四角は何色ですか。", "彼らは何をしていますか？"],
        ),
        (
            "คำถามมีดังนี้\n1. สี่เหลี่ยมในภาพเป็นสีอะไร\n2. พวกเขากำลังทำอะไรอยู่",
            ["สี่เหลี่ยมในภาพเป็นสีอะไร", "พวกเขากำลังทำอะไรอยู่"],
        ),
        ("၁။ ပုံထဲက လေးထောင့်က ဘာအရောင်လဲ။", ["ပုံထဲက လေးထောင့်က ဘာအရောင်လဲ။"]),
        ("1. படத்தில் உள்ள சதுரத்தின் நிறம் என்ன?", ["படத்தில் உள்ள சதுரத்தின் நிறம் என்ன?"]),
        ("1. اڤاکه ورنا سݢي امڤت دالم ݢمبر اين؟", ["اڤاکه ورنا سݢي امڤت دالم ݢمبر اين؟"]),
        ("1. 그림 속의 사각형은 무슨 색입니까?", ["그림 속의 사각형은 무슨 색입니까?"]),
        ("1. 好吗？\nそうです。\nสวัสดีครับคุณ", []),
    ],
)
def test_questions_are_found_in_lists_of_any_script(answer: str, expected: list[str]) -> None:
    assert questions_in(answer, longer_than=20) == expected


def test_questions_that_differ_in_a_vowel_sign_are_two(tmp_path: Path) -> None:
    listed = "1. அவர்கள் கடையில் எதை வாங்கினார்கள்?\n2. அவர்கள் கடையில் எதை வாங்கினர்கள்?"
    with serving(lambda request, number: Reply(text=listed)) as server:
        assert len(texts(run_step(tmp_path, [clip("a")], "questions", server=server))) == 2


def test_the_papers_rules_take_what_stands_after_the_first_full_stop() -> None:
    answer = (
        'Sure? Here you go\n1. What is the U.S. economy about to do?\n2. "Short one here?"\n'
        "3. Is it?\nWhich of these lines has no full stop?\n4. Why do people buy their houses?\n"
        "5. No question at all, and long.\n6. How do people buy their houses?\n"
        "7. Where do people buy their houses?\n8. When do people buy their houses?"
    )
    # Five lines count, also the ones that are then too short.
    assert paper_questions(answer, 5, 20) == [
        "What is the U.S. economy about to do?",
        "Why do people buy their houses?",
        "How do people buy their houses?",
    ]


def test_emphasis_and_quotes_go_and_what_they_are_part_of_stays() -> None:
    lines = '* **"Why is it so?"**\n3: Why say "sihat"?\n“Apa itu?”\n10. Q2. Why now?'
    assert questions_in(lines, 0) == [
        "Why is it so?",
        'Why say "sihat"?',
        "Apa itu?",
        "Q2. Why now?",
    ]


def test_at_most_so_many_questions_are_kept(tmp_path: Path) -> None:
    with serving(lambda request, number: Reply(text=LISTED)) as server:
        options = {"most": 2, "longer_than": 35}
        outcome = run_step(tmp_path, [clip("a")], "questions", server=server, options=options)
    assert texts(outcome) == [
        "What does the bank accept of the price?",
        "How many percent does the bank of Kajang pay?",
    ]


def test_a_chat_endpoint_is_asked_the_same(tmp_path: Path) -> None:
    with serving(lambda request, number: Reply(text="1. Why is it so, and not so?")) as server:
        run_step(tmp_path, [clip("a")], "questions", server=server, preset="chat")
    (request,) = server.requests
    assert request["path"].endswith("/chat/completions")
    assert request["messages"][0]["content"].endswith("generate questions based on context above")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(text="1. Why is it so, and not", finish_reason="length"), "answer ended by length"),
        (Reply(text="There is nothing to ask."), "no question in the answer"),
        (Reply(text=""), "empty answer"),
        (Reply(text="1. Why is it so, and not so?[/INST]"), "template tags in the answer"),
    ],
)
def test_an_answer_that_asks_nothing_is_asked_for_again_and_then_rejected(
    tmp_path: Path, bad: Reply, reason: str
) -> None:
    def reply(request: dict[str, Any], number: int) -> Reply:
        hopeless = "hopeless" in request["prompt"]
        return bad if hopeless or number == 0 else Reply(text="1. Why is it so, and not so?")

    rows = [clip("a"), clip("b", "hopeless"), clip("c", "lain")]
    with serving(reply) as server:
        outcome = run_step(tmp_path, rows, "questions", server=server, options={"attempts": 2})
        assert (outcome.rows, outcome.rejected, outcome.failed) == (2, 1, 0)
        assert outcome.reasons == {reason: 1}
        asked = len(server.requests)
        run_step(tmp_path, rows, "questions", server=server, options={"attempts": 2})
        assert len(server.requests) == asked == 6


def test_an_endpoint_that_is_down_fails_the_row_and_the_next_run_asks_again(
    tmp_path: Path,
) -> None:
    down = [True]

    def reply(request: dict[str, Any], number: int) -> Reply:
        return Reply(status=500) if down[0] else Reply(text="1. Why is it so, and not so?")

    with serving(reply) as server:
        outcome = run_step(tmp_path, [clip("a")], "questions", server=server)
        assert (outcome.failed, outcome.reasons) == (1, {"endpoint did not answer": 1})
        down[0] = False
        assert run_step(tmp_path, [clip("a")], "questions", server=server).rows == 1


def test_rows_without_a_description_or_with_turns_are_rejected(tmp_path: Path) -> None:
    said = {"role": "user", "content": [{"type": "text", "text": "Why?"}]}
    medium = {"kind": "audio", "uri": "b.mp3", "description": "x"}
    begun = {"id": "b", "kind": "clip", "turns": [said], "media": [medium], "groups": ["b"]}
    with serving() as server:
        outcome = run_step(tmp_path, [{"audio": "a.mp3"}, begun], "questions", server=server)
    assert outcome.reasons == {"has turns already": 1, "no description": 1}
    assert server.requests == []


def test_dialogue_answers_the_questions(tmp_path: Path) -> None:
    def reply(request: dict[str, Any], number: int) -> Reply:
        asks = request["prompt"].endswith("context above [/INST]")
        return Reply(
            text="1. Why is it so, and not so?\n2. Who was it that said so?" if asks else " Ya."
        )

    steps = {
        "questions": {"inputs": ["rows"], "preset": "paper"},
        "dialogue": {"inputs": ["questions"], "preset": "paper", "options": {"turns": 1}},
    }
    with serving(reply) as server:
        outcomes = run_pipeline(steps_on(tmp_path, [clip("a")], steps, server=server))
    rows = made(outcomes[-1])
    assert [[piece.text for turn in row.turns for piece in turn.content] for row in rows] == [
        [None, "Why is it so, and not so?", "Ya."],
        [None, "Who was it that said so?", "Ya."],
    ]


def test_an_instruction_without_the_context_is_refused(tmp_path: Path) -> None:
    with serving() as server, pytest.raises(ConfigError, match=r"it lacks `\{context\}`"):
        options = {"instruction": "ask me something"}
        run_step(tmp_path, [clip("a")], "questions", server=server, options=options)
