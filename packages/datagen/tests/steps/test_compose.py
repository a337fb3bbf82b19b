"""Sessions are drawn as in the paper, every row at most once, in both languages at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmmodal.config import validate
from mmmodal_datagen.contracts import Medium, Origin, Piece, Row, Turn
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from mmmodal_datagen.splits import split_of
from mmmodal_datagen.steps.compose.draw import draw
from mmmodal_datagen.texts.ordinals import renumbered


def make(kind: str, number: int, group: str | None = None) -> Row:
    """Return a bilingual row about one medium."""
    text = f"What is in {'picture' if kind == 'image' else 'audio'} 1, {number}?"
    question = Piece(type="text", text=text, text_ms=f"Apakah dalam gambar 1, {number}?")
    return Row(
        id=f"{kind}-{number}",
        kind="visual_qa" if kind == "image" else "audio_qa",
        turns=(
            Turn(role="user", content=(Piece(type=kind, media=0), question)),
            Turn(role="assistant", content=(Piece(type="text", text="yes", text_ms="ya"),)),
        ),
        media=(Medium(kind=kind, uri=f"media/{kind}-{number}"),),
        groups=(group or f"{kind}-{number}",),
        origins=(Origin(step="source", version="1", fingerprint="f"),),
        licence="CC-BY-4.0" if kind == "image" else "CC0-1.0",
        synthetic=False,
    )


def compose(folder: Path, rows: list[Row], **options: Any) -> tuple[list[Row], StepOutcome]:
    """Run the step on rows."""
    lines = [row.model_dump_json(exclude_none=True) + "\n" for row in rows]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    values = {
        "out": folder / "out",
        "root": folder,
        "shard_rows": 50,
        "seed": options.pop("seed", 1),
        "splits": options.pop("splits", {}),
        "steps": {
            "rows": {"step": "import", "options": {"files": ["rows.jsonl"]}},
            "compose": {"inputs": ["rows"], "options": options},
        },
    }
    outcome = run_pipeline(validate(Pipeline, values, "test"))[-1]
    return [row for file in outcome.files for row in file.read()], outcome


def pools(images: int, audio: int) -> list[Row]:
    return [*(make("image", n) for n in range(images)), *(make("audio", n) for n in range(audio))]


def test_every_row_is_used_at_most_once_and_whole(tmp_path: Path) -> None:
    made, outcome = compose(tmp_path, pools(200, 200), sessions=50, shard_sessions=20)
    assert len(made) == 50
    assert [file.rows for file in outcome.files] == [20, 20, 10]
    used = [name for row in made for name in row.parents]
    assert len(used) == len(set(used))
    assert {len(row.media) for row in made} == {2, 3, 4}
    for row in made:
        assert [medium.uri for medium in row.media] == [f"media/{name}" for name in row.parents]
        asked = [piece.media for piece in row.pieces() if piece.media is not None]
        assert asked == list(range(len(row.media)))
        assert row.groups == row.parents
        assert len({origin.step for origin in row.origins}) == 3
        assert len(row.origins) == 2 * len(row.media) + 1
        assert row.synthetic is False


def test_ordinals_count_from_the_sessions_beginning_in_both_languages(tmp_path: Path) -> None:
    made, _ = compose(tmp_path, pools(60, 0), sessions=10, weights={"image": 1.0})
    for row in made:
        questions = [turn.content[-1] for turn in row.turns if turn.role == "user"]
        for number, question in enumerate(questions, start=1):
            assert f"picture {number}," in str(question.text)
            assert f"gambar {number}," in str(question.text_ms)


def test_numbers_that_no_medium_has_stay() -> None:
    text = "Picture 1 and audio 1 are unlike picture 7; see Audio 2"
    moved = renumbered(text, {"image": 1, "audio": 1}, {"image": 2, "audio": 0})
    assert moved == "Picture 3 and audio 1 are unlike picture 7; see Audio 2"


def test_a_session_names_all_licences_of_its_media(tmp_path: Path) -> None:
    made, _ = compose(tmp_path, pools(40, 40), sessions=10)
    for row in made:
        kinds = {medium.kind for medium in row.media}
        expected = {"image": "CC-BY-4.0", "audio": "CC0-1.0"}
        assert row.licence == " AND ".join(sorted(expected[kind] for kind in kinds))


def test_a_draw_ends_with_the_last_whole_session_and_says_what_is_left(tmp_path: Path) -> None:
    made, outcome = compose(tmp_path, pools(10, 10), sessions=1000)
    assert 2 < len(made) < 10
    notes = outcome.notes
    assert notes["sessions_short"] == 1000 - len(made)
    used = sum(len(row.parents) for row in made)
    assert notes["unused_image"] + notes["unused_audio"] == 20 - used


def test_redistribution_uses_both_pools_up(tmp_path: Path) -> None:
    made, outcome = compose(tmp_path, pools(30, 90), sessions=1000, when_empty="redistribute")
    assert outcome.notes["unused_image"] + outcome.notes["unused_audio"] < 4
    assert sum(len(row.parents) for row in made) > 116


def test_no_medium_is_twice_in_a_session_however_few_there_are(tmp_path: Path) -> None:
    rows = [make("audio", number, group=f"video-{number % 7}") for number in range(70)]
    made, _ = compose(tmp_path, rows, sessions=100, weights={"audio": 1})
    assert len(made) > 15
    for row in made:
        assert len(set(row.groups)) == len(row.groups)


def test_a_split_draws_from_its_own_media_alone(tmp_path: Path) -> None:
    splits = {"train": 0.8, "test": 0.2}
    made, _ = compose(tmp_path, pools(100, 100), sessions=30, splits=splits)
    found = [{split_of([group], splits, 1) for group in row.groups} for row in made]
    assert all(len(each) == 1 for each in found)
    assert {name for each in found for name in each} == {"train", "test"}


def test_the_same_seed_gives_the_same_sessions(tmp_path: Path) -> None:
    drawn = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        drawn.append(compose(tmp_path / name, pools(30, 30), sessions=8, seed=seed)[0])
    parents = [[row.parents for row in made] for made in drawn]
    assert parents[0] == parents[1] != parents[2]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(1, 40),
    st.sampled_from(["stop", "redistribute"]),
    st.integers(1, 30),
    st.integers(0, 5),
)
def test_whatever_is_drawn_is_drawn_once_and_the_rest_is_counted(
    images: int, audio: int, sessions: int, when_empty: Any, media: int, seed: int
) -> None:
    total = images + audio
    groups = (np.arange(total) % media)[:, None] if total else np.zeros((0, 1), np.int64)
    drawn = draw(
        {"image": np.arange(images), "audio": np.arange(images, total)},
        {"image": 0.6, "audio": 0.4},
        groups,
        sessions=sessions,
        when_empty=when_empty,
        seed=(seed,),
    )
    sizes = np.diff(drawn.starts)
    assert len(set(drawn.rows.tolist())) == len(drawn.rows) == drawn.starts[-1]
    assert len(sizes) <= sessions
    assert ((sizes >= 2) & (sizes <= 4)).all()
    assert sum(drawn.unused.values()) == total - len(drawn.rows)
    for first, last in zip(drawn.starts[:-1], drawn.starts[1:], strict=True):
        seen = groups[drawn.rows[first:last], 0].tolist()
        assert len(seen) == len(set(seen))


def test_images_are_drawn_with_the_probability_given() -> None:
    groups = np.arange(200_000)[:, None]
    each = {"image": np.arange(100_000), "audio": np.arange(100_000, 200_000)}
    drawn = draw(each, {"image": 0.6, "audio": 0.4}, groups, sessions=40_000)
    assert abs(float((drawn.rows < 100_000).mean()) - 0.6) < 0.005


@pytest.mark.slow
def test_a_million_sessions_are_drawn_and_joined_in_a_minute(tmp_path: Path) -> None:
    import time

    from mmmodal_datagen.rows.tables import row_table
    from mmmodal_datagen.steps.compose.sessions import join_rows

    total = 3_200_000
    groups = np.arange(total)[:, None]
    half = total // 2
    begun = time.process_time()
    each = {"image": np.arange(half), "audio": np.arange(half, total)}
    drawn = draw(each, {"image": 0.5, "audio": 0.5}, groups, sessions=1_000_000)
    few = row_table(pools(100, 100))
    sessions = 0
    for first in range(0, len(drawn.starts) - 1, 20_000):
        starts = drawn.starts[first : first + 20_001]
        rows = few.take(drawn.rows[starts[0] : starts[-1]] % 200)
        sessions += join_rows(rows, starts - starts[0], "{}", "f").num_rows
    assert sessions == 1_000_000
    assert time.process_time() - begun < 60
