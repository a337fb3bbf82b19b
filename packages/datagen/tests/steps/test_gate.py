"""Rows that are not fit to be trained on are rejected, each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmmodal.config import validate
from mmmodal_datagen.contracts import Medium, Piece, Row, Turn
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from mmmodal_datagen.texts.language import language_of
from mmmodal_datagen.texts.repetition import compression_ratio, repeated_trigrams
from prose import LOOPS, STORIES
from refused_rows import refusals_in

STORY = (
    "A man walks along the river in the early morning while two children feed the ducks, and "
    "behind them a red bus crosses the old bridge towards the market where people sell fruit."
)


def row(name: str, question: str, answer: str, **changes: Any) -> Row:
    """Return a row of one question and answer about an image."""
    malay = changes.pop("malay", None)
    return Row(
        id=name,
        kind="visual_qa",
        turns=(
            Turn(
                role="user",
                content=(
                    Piece(type="image", media=0),
                    Piece(type="text", text=question, text_ms=malay and malay[0]),
                ),
            ),
            Turn(
                role="assistant",
                content=(Piece(type="text", text=answer, text_ms=malay and malay[1]),),
            ),
        ),
        media=(Medium(kind="image", uri=f"{name}.jpg"),),
        groups=(name,),
        **changes,
    )


def gate(folder: Path, rows: list[Row], **options: Any) -> StepOutcome:
    """Run the step on rows."""
    lines = [each.model_dump_json(exclude_none=True) + "\n" for each in rows]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    values = {
        "out": folder / "out",
        "root": folder,
        "shard_rows": 2,
        "steps": {
            "rows": {"step": "import", "options": {"files": ["rows.jsonl"]}},
            "gate": {"inputs": ["rows"], "options": options},
        },
    }
    return run_pipeline(validate(Pipeline, values, "test"))[-1]


GOOD = row("good", "What is in the picture?", STORY)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("b", "What?", "   "), "structure"),
        (row("b", "<imej> What?", "Yes."), "structure"),
        (row("b", "What is in picture 2?", "Yes."), "structure"),
        (row("b", "What?", "<think>hm</think>Yes."), "holds a thought"),
        (row("b", "What?", "They ask.</think>Yes."), "holds a thought"),
        (row("b", "What?", "Yes.", malay=("Apa?", "[THINK]hm[/THINK]Ya.")), "holds a thought"),
        (row("b", "What?", "The same thing again. " * 30), "repeats itself"),
        (row("b", "What?", "you and me " * 9), "repeats phrases"),
        (row("b", "Two of 3?", "Yes.", malay=("Dua daripada 4?", "Ya.")), "bad translation"),
        (row("b", "So?", "Yes.", malay=("Jadi?", "None")), "bad translation"),
        (
            row("b", "So what is it?", STORY, malay=("Jadi apa itu?", STORY)),
            "wrong language",
        ),
        (row("b", "What is in the picture?", STORY), "duplicate"),
    ],
)
def test_a_bad_row_is_kept_with_its_reason(tmp_path: Path, bad: Row, reason: str) -> None:
    outcome = gate(tmp_path, [GOOD, bad])
    assert (outcome.rows, outcome.rejected, outcome.reasons) == (1, 1, {reason: 1})
    (refused,) = refusals_in(outcome.folder)
    assert refused.row.id == "b"
    assert next(check.name for check in refused.row.gates if not check.passed) == reason


def test_a_good_row_passes_and_says_what_was_measured(tmp_path: Path) -> None:
    malay = ("Apakah yang ada dalam gambar itu?", "Seorang lelaki berjalan di tepi sungai. " * 3)
    good = row("g", "What is in the picture, please?", STORY, malay=malay)
    outcome = gate(tmp_path, [good], language="both")
    (passed,) = outcome.files[0].read()
    assert passed.turns == good.turns
    assert {check.name for check in passed.gates} >= {"structure", "repeats itself", "duplicate"}
    assert [origin.step for origin in passed.origins] == ["import", "gate"]


def test_thoughts_that_are_wanted_pass(tmp_path: Path) -> None:
    thoughtful = row("t", "What is in the picture?", f"<think>A man.</think>{STORY}")
    assert gate(tmp_path, [thoughtful], thoughts=False).rows == 1


def test_a_short_template_about_other_media_is_no_duplicate(tmp_path: Path) -> None:
    rows = [row(f"r{n}", "What model is it?", "A scooter.") for n in range(5)]
    assert gate(tmp_path, rows).rows == 5


def test_nearly_the_same_words_are_a_duplicate_across_shards(tmp_path: Path) -> None:
    rows = [GOOD, *(row(f"r{n}", "What?", f"Yes, {n}.") for n in range(4))]
    late = row("late", "What is in the picture?", STORY.replace("fruit", "fruits"))
    outcome = gate(tmp_path, [*rows, late])
    assert outcome.reasons == {"duplicate": 1}


def test_prose_of_any_script_passes_and_loops_do_not(tmp_path: Path) -> None:
    rows = [row(script, "?", story) for script, story in STORIES.items()]
    assert gate(tmp_path, rows).rows == len(rows)
    loops = [row(script, "?", loop * 9) for script, loop in LOOPS.items()]
    outcome = gate(tmp_path, loops)
    assert outcome.rows == 0
    assert outcome.reasons.keys() <= {"repeats itself", "repeats phrases"}


def test_a_translation_from_any_script_is_compared_by_what_it_says(tmp_path: Path) -> None:
    malay = STORIES["malay"]
    rows = [row(script, "?", text, malay=("?", malay)) for script, text in STORIES.items()]
    rows.append(row("rumi", "?", malay, malay=("?", STORIES["jawi"])))
    rows.append(row("digits", "2,024 ekor?", "3", malay=("٢٬٠٢٤ ايکور؟", "٣")))
    assert gate(tmp_path, rows, duplicates=False).reasons == {}
    short = [row(script, "?", t, malay=("?", malay[:150])) for script, t in STORIES.items()]
    assert gate(tmp_path, short).reasons == {"bad translation": len(short)}
    other = row("other", "?", malay, malay=("?", STORIES["chinese"]))
    assert gate(tmp_path, [other]).reasons == {"wrong language": 1}


def test_nearly_the_same_text_without_spaces_is_a_duplicate(tmp_path: Path) -> None:
    changed = {script: story[:-3] + story[-2:] for script, story in STORIES.items()}
    rows = [row(script, "?", story) for script, story in STORIES.items()]
    late = [row(f"{script}-late", "?", story) for script, story in changed.items()]
    outcome = gate(tmp_path, [*rows, *late])
    assert (outcome.rows, outcome.reasons) == (len(rows), {"duplicate": len(rows)})


def test_measures_tell_loops_and_languages() -> None:
    assert compression_ratio("terima kasih " * 60) > 8
    assert compression_ratio(STORY) < 2
    assert repeated_trigrams(STORY) == 0
    assert language_of("Saya tidak tahu apa yang dia mahu") == "ms"
    assert language_of("I do not know what he wants today") == "en"
