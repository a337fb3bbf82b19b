"""Pairs of media are drawn in three ways, asked about, and their balance is told."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_server import Reply, serving
from mmmodal.errors import ConfigError
from mmmodal_datagen.rows.records import records_of
from mmmodal_datagen.run.runner import run_pipeline
from mmmodal_datagen.steps.relate.pairs import ORDER, Candidate, draw_pairs
from mmmodal_datagen.steps.relate.similarity import similar_pairs
from mmmodal_datagen.steps.relate.step import RelateOptions
from mmmodal_datagen.steps.relate.wordings import INSTRUCTIONS
from mmmodal_datagen.texts.translation import NUMBERS
from one_step import made, run_step, seen_by, steps_on
from worlds import PAPER_EXAMPLES, read_lines

EXAMPLES = read_lines(PAPER_EXAMPLES)

MAKERS = ("Suzuki", "Yamaha", "Honda")


def pictures(number: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"picture-{n}",
            "image": f"{n}.jpg",
            "caption": f"motosikal {MAKERS[n % 3]} nombor {n}",
            "manufacturer": MAKERS[n % 3],
        }
        for n in range(number)
    ]


def clips(number: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"clip-{n}",
            "audio": f"{n}.mp3",
            "transcript": f"hari ini kita bincang perkara {n} tentang {MAKERS[n % 3]}",
            "group": f"video-{n // 2}",
        }
        for n in range(number)
    ]


def answer(relation: str = "related", text: str = "Both are motorcycles.", **more: str) -> Reply:
    return Reply(text=json.dumps({"relation": relation, "answer": text, **more}))


def by_makers(request: dict[str, Any], number: int) -> Reply:
    """Answer as somebody who reads: what has the same maker is related."""
    prompt = request["messages"][-1]["content"].split("\n\n")[0]
    named = [name for name in MAKERS for _ in range(prompt.count(name))]
    return answer("related" if len(set(named)) == 1 else "unrelated")


MOTORCYCLES = ["Suzuki GSX-S1000GT (2022)", "Suzuki Burgman 400 (2021)"]
"""What the paper's first example is made of, which its row does not say."""

ASKED = {
    "image-image": (
        "Image 1: {}. Image 2: {}.\n\nwhat is related between image 1 and image 2?",
        "What is related between picture 1 and picture 2?",
        "Apakah yang berkaitan antara gambar 1 dan gambar 2?",
    ),
    "audio-audio": (
        "Audio 1: {} Audio 2: {}\n\nwhat is related between audio 1 and audio 2?",
        "What is related between audio 1 and audio 2?",
        "Apakah yang berkaitan antara audio 1 dan audio 2?",
    ),
    "audio-image": (
        "Audio 1: {} Image 1: {}.\n\nwhat is related between audio 1 and picture 1?",
        "What is related between audio 1 and picture 1?",
        "Apakah yang berkaitan antara audio 1 dan gambar 1?",
    ),
}


@pytest.mark.parametrize(("example", "kind"), list(zip(EXAMPLES[2:5], ASKED, strict=True)))
def test_the_papers_examples_come_out_of_their_media(
    tmp_path: Path, example: dict[str, Any], kind: str
) -> None:
    paths = example.get("filename", example.get("image"))
    said = example.get("filename_description", MOTORCYCLES)
    told = example["answer"] if "answer" in example else example["conversations"][1]["content"]
    keys = ["audio" if path.endswith("mp3") else "image" for path in paths]
    rows = [
        {key: path, "description": text} for key, path, text in zip(keys, paths, said, strict=True)
    ]
    with serving(lambda request, number: Reply(text=told)) as server:
        options = {"pairs": {kind: 1}}
        outcome = run_step(tmp_path, rows, "relate", server=server, preset="paper", options=options)
    (row,) = made(outcome)
    assert [medium.uri for medium in row.media] == paths
    prompt, english, malay = ASKED[kind]
    assert seen_by(server) == [f"[INST] {prompt.format(*said)} [/INST]"]
    sent = server.requests[0]
    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["max_tokens"]) == (
        0.3,
        0.95,
        50,
        1024,
    )
    first, second = row.turns
    assert [piece.type for piece in first.content] == [*keys, "text"]
    assert (first.content[-1].text, first.content[-1].text_ms) == (english, malay)
    assert english.startswith(example.get("instruction", "What"))
    assert malay.startswith(example.get("instruction_ms", "Apakah"))
    assert second.content[0].text == told.strip()
    assert row.relation is None and outcome.notes["unlabelled"] == 1


def test_the_answer_says_how_the_media_are_related(tmp_path: Path) -> None:
    rows = [*pictures(2), *clips(2)]
    with serving(
        lambda request, number: answer("unclear", "Audio 1 may be about picture 1.")
    ) as server:
        options = {"pairs": {"audio-image": 1}}
        outcome = run_step(tmp_path, rows, "relate", server=server, options=options)
    (row,) = made(outcome)
    assert (row.kind, row.relation) == ("relationship", "unclear")
    assert [medium.kind for medium in row.media] == ["audio", "image"]
    assert row.parents == (f"clip-{row.media[0].uri[0]}", f"picture-{row.media[1].uri[0]}")
    assert row.groups == (f"video-{int(row.media[0].uri[0]) // 2}", row.media[1].uri)
    assert [origin.step for origin in row.origins] == ["import", "import", "relate"]
    system, user = (turn["content"] for turn in server.requests[0]["messages"])
    assert '"related", "unrelated" or "unclear"' in system
    assert user.endswith(str(row.turns[0].content[-1].text))
    assert outcome.notes["unclear"] == 1
    assert (outcome.notes["unused_audio"], outcome.notes["unused_image"]) == (1, 1)


def test_pairs_that_share_a_fact_or_are_described_alike_are_not_nearly_all_unrelated(
    tmp_path: Path,
) -> None:
    rows = [*pictures(60), *clips(60)]
    pairs = {"image-image": 30, "audio-image": 30}

    def related(folder: Path, **draw: float) -> Counter[str]:
        options = {"pairs": pairs, "draw": draw, "shared": ["manufacturer"], "similarity": 0.05}
        with serving(by_makers) as server:
            return Counter(run_step(folder, rows, "relate", server=server, options=options).notes)

    apart = related(tmp_path / "random", random=1)
    assert apart["unrelated"] > apart["related"]
    drawn = related(tmp_path / "drawn", shared=0.35, similar=0.35, random=0.3)
    assert drawn["related"] > 1.5 * drawn["unrelated"]
    assert drawn["related_of_shared"] >= 10 and drawn["unrelated_of_shared"] == 0
    assert drawn["related_of_similar"] >= 10
    assert sum(drawn[name] for name in ("related", "unrelated", "unclear")) == 60


def test_every_pair_is_new_and_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    rows = [*pictures(30), *clips(30)]

    def drawn(folder: Path, **changes: Any) -> list[tuple[str, ...]]:
        options = {"pairs": {"image-image": 15, "audio-image": 30, "audio-audio": 15}}
        with serving(by_makers) as server:
            outcome = run_step(folder, rows, "relate", server=server, options=options, **changes)
        assert len(outcome.files) > 1
        return [row.parents for row in made(outcome)]

    first = drawn(tmp_path / "a")
    assert len(first) == 60 and len({frozenset(pair) for pair in first}) == 60
    used = Counter(
        (name, frozenset(n.split("-")[0] for n in pair)) for pair in first for name in pair
    )
    assert set(used.values()) == {1}  # of each kind of pair
    assert drawn(tmp_path / "b", shard_rows=7) == first
    assert drawn(tmp_path / "c", seed=1) != first


def test_pairs_that_failed_are_asked_about_again_and_all_is_as_if_none_had(tmp_path: Path) -> None:
    rows = [*pictures(12), *clips(12)]
    options = {"pairs": {"image-image": 5, "audio-image": 5}}
    down = [True]

    def reply(request: dict[str, Any], number: int) -> Reply:
        bad = down[0] and "nombor 3" in request["messages"][-1]["content"]
        return Reply(disconnect=True) if bad else by_makers(request, number)

    with serving(reply) as server:
        outcome = run_step(tmp_path / "a", rows, "relate", server=server, options=options)
        assert outcome.failed > 0 and outcome.rows + outcome.failed == 10
        down[0] = False
        asked = len(server.requests)
        again = run_step(tmp_path / "a", rows, "relate", server=server, options=options)
        assert len(server.requests) == asked + outcome.failed
        whole = run_step(tmp_path / "b", rows, "relate", server=server, options=options)
    assert (again.rows, again.failed) == (10, 0)
    assert [f.path.read_bytes() for f in again.files] == [f.path.read_bytes() for f in whole.files]


def test_no_pair_is_in_two_splits(tmp_path: Path) -> None:
    rows = [*pictures(40), *clips(40)]
    steps = {
        "relate": {"inputs": ["rows"], "options": {"pairs": {"audio-image": 40}}},
        "translate": {"inputs": ["relate"], "preset": "language-model"},
        "export": {"inputs": ["translate"], "options": {"media": "leave"}},
    }

    def reply(request: dict[str, Any], number: int) -> Reply:
        prompt = request["messages"][-1]["content"]
        if prompt.startswith("Translate"):
            return Reply(text="Kedua-duanya ialah motosikal.")
        return by_makers(request, number)

    with serving(reply) as server:
        splits = {"train": 0.7, "test": 0.3}
        outcomes = run_pipeline(steps_on(tmp_path, rows, steps, server=server, splits=splits))
    assert outcomes[1].rows > 20
    assert outcomes[-1].rejected == 0
    assert outcomes[-1].notes["rows_train"] > outcomes[-1].notes["rows_test"] > 0


def test_both_languages_at_once_where_that_is_wanted(tmp_path: Path) -> None:
    with serving(lambda r, n: answer(answer_ms="Kedua-duanya motosikal.")) as server:
        options = {"pairs": {"image-image": 1}, "malay": True}
        (row,) = made(run_step(tmp_path, pictures(2), "relate", server=server, options=options))
    english, malay = records_of(row)
    assert english.messages[1].content[0].text == "Both are motorcycles."
    assert malay.messages[1].content[0].text == "Kedua-duanya motosikal."


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(text='{"relation": "rel', finish_reason="length"), "answer ended by length"),
        (Reply(text="They are related."), "invalid JSON"),
        (answer("somehow"), "JSON of another form"),
        (Reply(text='{"relation": "related"}'), "JSON of another form"),
        (answer(text=" "), "empty answer"),
        (answer(text="Picture 3 is like picture 1."), "speaks of a medium that is not there"),
        (answer(text="Audio 1 is like picture 1."), "speaks of a medium that is not there"),
        (answer(text="The captions… the caption says so."), "speaks of the description"),
        (answer(text="Yes.<|im_end|>"), "template tags in the answer"),
        (Reply(text=""), "empty answer"),
    ],
)
def test_what_is_no_answer_is_asked_for_again_and_then_rejected(
    tmp_path: Path, bad: Reply, reason: str
) -> None:
    hopeless: list[str] = []

    def reply(request: dict[str, Any], number: int) -> Reply:
        prompt = request["messages"][-1]["content"]
        hopeless.append(prompt)
        return bad if prompt == hopeless[0] or number == 0 else answer()

    with serving(reply) as server:
        options = {"pairs": {"image-image": 2}, "attempts": 2}
        outcome = run_step(tmp_path, pictures(4), "relate", server=server, options=options)
        assert (outcome.rows, outcome.reasons) == (1, {reason: 1})
        run_step(tmp_path, pictures(4), "relate", server=server, options=options)
        assert len(server.requests) == 4


def test_rows_no_pair_can_be_made_of_are_told(tmp_path: Path) -> None:
    seen = pictures(2)
    rows = [*seen, {"image": "x.jpg"}, {**seen[0], "id": "again"}]
    with serving(lambda request, number: answer()) as server:
        options = {"pairs": {"image-image": 5}}
        outcome = run_step(tmp_path, rows, "relate", server=server, options=options)
    assert (outcome.rows, outcome.reasons) == (1, {"no description": 1})
    assert outcome.notes["media_repeated"] == 1
    assert outcome.notes["short_image-image"] == 4


def test_nothing_to_pair_is_no_error(tmp_path: Path) -> None:
    with serving() as server:
        outcome = run_step(tmp_path, pictures(1), "relate", server=server)
    assert (outcome.rows, outcome.rejected, outcome.failed) == (0, 0, 0)
    assert outcome.notes["unused_image"] == 1


def test_a_description_that_looks_like_a_field_is_only_a_description(tmp_path: Path) -> None:
    rows = [{"image": "a.jpg", "caption": "{second}"}, {"image": "b.jpg", "caption": "{first}"}]
    with serving(lambda request, number: answer()) as server:
        options = {"pairs": {"image-image": 1}}
        run_step(tmp_path, rows, "relate", server=server, options=options)
    (prompt,) = seen_by(server)
    assert sorted(line[11:] for line in prompt.splitlines()[:2]) == ["{first}", "{second}"]


def test_instructions_number_the_same_media_in_both_languages() -> None:
    for wordings in INSTRUCTIONS.values():
        for each in wordings:
            assert NUMBERS.findall(each.en or "") == NUMBERS.findall(each.ms or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draw": {"random": 0}}, "one of them more"),
        ({"prompts": {"image-image": "{first} {second}"}}, "audio-audio: give it a prompt"),
        ({"pairs": {"image-image": 1}, "prompts": {"image-image": "{first}"}}, "lacks"),
        ({"pairs": {"image-picture": 1}}, "image-picture"),
        ({"malay": True, "structured": False}, "`malay` needs `structured`"),
        ({"instructions": {k: [{"ms": "Apa?"}] for k in INSTRUCTIONS}}, "must be in English"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with serving() as server, pytest.raises(ConfigError, match=message):
        run_step(tmp_path, [], "relate", server=server, options=options)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["image", "audio"]), st.text("abc d", max_size=9), st.integers(0, 3)
        ),
        max_size=25,
    ),
    st.sampled_from([("image", "image"), ("audio", "audio"), ("audio", "image")]),
    st.integers(0, 15),
    st.tuples(*[st.floats(0.05, 1)] * 3),
    st.integers(0, 5),
)
def test_pairs_use_every_medium_once_and_fall_short_only_when_all_are_used(
    media: list[tuple[str, str, int]],
    kinds: tuple[str, str],
    wanted: int,
    shares: tuple[float, ...],
    seed: int,
) -> None:
    candidates = [
        Candidate(row + 100, kind, text, (("group", str(group)),))
        for row, (kind, text, group) in enumerate(media)
    ]
    draw = dict(zip(ORDER, shares, strict=True))
    found = draw_pairs(candidates, kinds, wanted, draw, 0.2, random.Random(seed))
    used = [row for pair in found for row in pair[:2]]
    assert len(used) == len(set(used))
    kind_of = {each.row: each.kind for each in candidates}
    assert all((kind_of[p.first], kind_of[p.second]) == kinds for p in found)
    there = [sum(each.kind == kind for each in candidates) for kind in kinds]
    most = there[0] // 2 if kinds[0] == kinds[1] else min(there)
    assert len(found) == min(wanted, most)


def test_texts_are_alike_by_their_rare_words() -> None:
    texts = [
        "a cat on a green mat",
        "the red dog of a king",
        "a cat and its mat",
        "a king of the sea",
    ]
    every = np.ones(4, bool)
    found = list(similar_pairs(texts, every, every, 0.1, random.Random(0)))
    assert {frozenset(pair[:2]) for pair in found} == {frozenset((0, 2)), frozenset((1, 3))}
    for *_, value in found:
        assert 0.1 <= value <= 1
    assert not list(similar_pairs(["", "", "a b"], *[np.ones(3, bool)] * 2, 0.0, random.Random(0)))


@pytest.mark.slow
def test_texts_without_spaces_have_words_in_common() -> None:
    texts = [
        *(
            "河边的市场卖新鲜的鱼",
            "一辆红色的巴士经过旧桥",
            "พวกเขาขายปลาสดที่ตลาด",
            "รถเมล์สีแดงข้ามสะพานเก่า",
        ),
        *("孩子们在学校里唱歌", "市场里有人买新鲜的鱼", "ที่ตลาดมีปลาสดมากมาย", "爷爷在船上工作"),
    ]
    every = np.ones(len(texts), bool)
    found = list(similar_pairs(texts, every, every, 0.1, random.Random(0)))
    assert {frozenset((a, b)) for a, b, _ in found} == {frozenset((0, 5)), frozenset((2, 6))}


def test_similar_pairs_take_time_in_proportion_to_the_words() -> None:
    chance = random.Random(0)
    words = [f"word{int(chance.paretovariate(0.6))}" for _ in range(400_000)]

    def seconds(number: int) -> float:
        texts = [" ".join(words[n * 10 : n * 10 + 10]) for n in range(number)]
        every = np.ones(number, bool)
        begun = time.perf_counter()
        found = sum(1 for _ in similar_pairs(texts, every, every, 0.15, random.Random(0)))
        assert found > number / 20
        return time.perf_counter() - begun

    few, many = seconds(5_000), seconds(40_000)
    assert many < 8 * few * 2.5


def test_the_default_options_are_whole() -> None:
    assert set(RelateOptions().prompts) == set(RelateOptions().instructions) == set(INSTRUCTIONS)
