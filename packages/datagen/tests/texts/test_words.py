"""Measures of texts say the same of the same text, whatever script it is written in."""

from __future__ import annotations

import unicodedata

import pytest

from mmmodal_datagen.texts.language import language_of
from mmmodal_datagen.texts.repetition import (
    byte_ratio,
    compression_ratio,
    repeated_trigrams,
    share_of_different_words,
)
from mmmodal_datagen.texts.scripts import length_of
from mmmodal_datagen.texts.translation import relative_length
from mmmodal_datagen.texts.words import contains_word, count_words, longest_word, runs_of, terms_of
from prose import LOOPS, STORIES

EACH = pytest.mark.parametrize("script", STORIES)
ENGLISH = STORIES["english"]


@EACH
def test_a_story_measures_as_in_english(script: str) -> None:
    story = STORIES[script]
    assert length_of(story) / length_of(ENGLISH) == pytest.approx(1, abs=0.25)
    assert count_words(story) / count_words(ENGLISH) == pytest.approx(1, abs=0.4)
    assert share_of_different_words(story) > 0.7
    assert 0.9 < compression_ratio(story) < 1.8
    assert repeated_trigrams(story) == 0
    assert len(longest_word(story)) <= 24


@EACH
@pytest.mark.parametrize("times", [5, 20])
def test_a_loop_is_one_in_every_script(script: str, times: int) -> None:
    loop = LOOPS[script] * times
    assert share_of_different_words(loop) < 0.4
    assert repeated_trigrams(loop) >= 2
    assert times < 20 or compression_ratio(loop) > 6


@EACH
def test_a_story_that_is_told_over_and_over_repeats_itself(script: str) -> None:
    assert compression_ratio(STORIES[script] * 5) > 3
    assert repeated_trigrams(STORIES[script] * 5) > 20


@pytest.mark.parametrize(
    "name",
    [
        "马来西亚吉隆坡",
        "吉隆坡双子塔",
        "クアラルンプールの",
        "ในกรุงเทพมหานคร",
        "Kuala Lumpur, Malaysia",
    ],
)
def test_a_name_that_is_said_again_and_again_is_no_loop(name: str) -> None:
    others = ("他们走了", "天气好", "新鲜的鱼", "很多人在", "我回家", "听故事")
    assert repeated_trigrams("。".join(f"{name} {other}" for other in others)) < 2


def test_bytes_alone_take_prose_for_a_loop() -> None:
    assert byte_ratio(STORIES["burmese"]) > 3 > byte_ratio(ENGLISH)
    assert byte_ratio("") == compression_ratio("") == 0
    assert byte_ratio(ENGLISH) == compression_ratio(ENGLISH)


def test_texts_with_spaces_are_measured_as_ever() -> None:
    text = "Satu dua tiga, empat - lima."
    assert count_words(text) == len(text.split())
    assert [run.text for run in runs_of(text, 3)] == [
        "Satu dua tiga,",
        "dua tiga, empat",
        "tiga, empat -",
        "empat - lima.",
    ]
    assert length_of(text) == len(text)
    assert repeated_trigrams("you and me " * 9) == 3
    assert share_of_different_words("ya ya Ya ya") == 0.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("   ", 0),
        ("。", 1),
        ("好", 1),
        ("你好吗", 2),
        ("我们在 KL 吃 nasi lemak", 6),
        ("iPhone15很好用", 3),
        ("ไปตลาด", 2),
    ],
)
def test_words_are_counted_without_spaces_too(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        ("a pneumonia case", "pneumonia"),
        ("啊" * 30 + "好", "啊" * 30),
        ("今天天气很好", "天天"),
        ("好KLCC好", "KLCC"),
        ("", ""),
    ],
)
def test_the_longest_word_of_a_text_without_spaces_is_one_character_again_and_again(
    text: str, longest: str
) -> None:
    assert longest_word(text) == longest


def test_characters_count_with_their_marks_however_they_are_written() -> None:
    for text in ("Café Đà Nẵng", STORIES["korean"], "がぎぐ"):
        apart = unicodedata.normalize("NFD", text)
        assert len(apart) > len(text)
        assert length_of(apart) == pytest.approx(length_of(text))


@EACH
def test_a_translation_is_as_long_as_the_text(script: str) -> None:
    assert 0.7 < relative_length(STORIES[script], STORIES["malay"]) < 1.4
    half = STORIES["malay"][:150]
    assert relative_length(STORIES[script], half) < 0.5
    assert relative_length(STORIES[script], STORIES["malay"] * 3) > 2


def test_words_are_found_in_texts_without_spaces() -> None:
    assert contains_word("这个描述说他在家", "描述")
    assert contains_word("ในคำบรรยายนี้", "คำบรรยาย")
    assert contains_word("The caption says", "Caption")
    assert not contains_word("It is captioned", "caption")
    assert terms_of("Gambar itu: ikan_besar, 3") == {"gambar", "itu", "ikan", "besar"}
    assert terms_of("红色的鱼") == {"红色", "色的", "的鱼"}
    assert "உணவகத்திற்குச்" in terms_of("ஒரு உணவகத்திற்குச்")


@pytest.mark.parametrize(
    ("script", "language"),
    [("english", "en"), ("malay", "ms"), ("jawi", "ms"), ("chinese", "other"), ("thai", "other")],
)
def test_the_language_is_not_guessed_of_another_script(script: str, language: str) -> None:
    assert language_of(STORIES[script]) == language
