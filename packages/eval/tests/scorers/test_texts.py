"""Scorers of texts, each compared with the library that computes it."""

from __future__ import annotations

import string
from typing import Any

import jiwer
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from mmmodal_eval.contracts import Expected
from mmmodal_eval.parts import scorer

ANSWERS = ["the cat sat on the mat", "A dog, barking loudly!", "", "seekor kucing merah", "x y z w"]
FIRST = ["the cat is on the mat", "a dog barks", "nothing at all", "seekor kucing merah", "a b c d"]
SECOND = ["there is a cat on the mat", "a dog is barking", "none", "kucing merah", "x y z v"]


def totals(name: str, options: dict[str, Any], references: list[tuple[str, ...]]) -> float:
    """Return the figure of all answers."""
    found = scorer(name, options)
    counts = [
        found.score(answer, Expected(each)).counts
        for answer, each in zip(ANSWERS, references, strict=True)
    ]
    return found.figure([sum(column) for column in zip(*counts, strict=True)])


@pytest.mark.parametrize(
    "options", [{}, {"lowercase": True, "tokenize": "intl"}, {"smooth_method": "add-k"}]
)
@pytest.mark.parametrize("several", [False, True])
def test_bleu_of_a_corpus_is_that_of_sacrebleu(options: dict[str, Any], several: bool) -> None:
    streams = [FIRST, SECOND][: 1 + several]

    ours = totals("bleu", options, [*zip(*streams, strict=True)])

    assert ours == BLEU(**options).corpus_score(ANSWERS, streams).score > 0


@pytest.mark.parametrize("options", [{}, {"word_order": 2}, {"lowercase": True, "beta": 1}])
@pytest.mark.parametrize("several", [False, True])
def test_chrf_of_a_corpus_is_that_of_sacrebleu(options: dict[str, Any], several: bool) -> None:
    streams = [FIRST, SECOND][: 1 + several]

    ours = totals("chrf", options, [*zip(*streams, strict=True)])

    assert ours == CHRF(**options).corpus_score(ANSWERS, streams).score > 0


def test_the_signature_is_that_of_sacrebleu() -> None:
    metric = BLEU()
    metric.corpus_score(ANSWERS, [FIRST, SECOND])
    ours = scorer("bleu")

    ours.score("a", Expected(("a", "b")))
    assert ours.signature() == f"bleu|{metric.get_signature()}"
    ours.score("a", Expected(("a",)))
    assert "nrefs:var" in ours.signature()
    assert "nw:2" in scorer("chrf", {"word_order": 2}).signature()


@pytest.mark.parametrize(
    ("name", "compute"), [("wer", jiwer.wer), ("cer", jiwer.cer)], ids=["wer", "cer"]
)
def test_error_rates_of_a_corpus_are_those_of_jiwer(name: str, compute: Any) -> None:
    plain = [text.lower().translate(str.maketrans("", "", string.punctuation)) for text in ANSWERS]

    assert totals(name, {}, [(each,) for each in FIRST]) == compute(FIRST, plain)
    assert totals(name, {"normalise": False}, [(each,) for each in FIRST]) == compute(
        FIRST, ANSWERS
    )


@pytest.mark.parametrize(
    ("name", "references", "answer", "counts"),
    [
        ("wer", ("a b c d",), "a b c d", (0, 4)),
        ("wer", ("a b c d",), "", (4, 4)),
        ("wer", ("a b",), "a x b y", (2, 2)),
        ("wer", ("Dua kucing.",), "dua kucing", (0, 2)),
        ("wer", ("kanak-kanak itu",), "kanak kanak itu", (0, 2)),
        ("wer", ("a b c d", "x y"), "x z", (1, 2)),
        ("wer", ("x y", "x z q r"), "x z q r", (0, 4)),
        ("cer", ("abcd",), "abxd", (1, 4)),
        ("cer", ("a b",), "ab", (1, 3)),
        ("cer", ("猫が好き",), "犬が好き", (1, 4)),
    ],
)
def test_edits_are_counted_against_the_closest_reference(
    name: str, references: tuple[str, ...], answer: str, counts: tuple[int, int]
) -> None:
    assert scorer(name).score(answer, Expected(references, language="ms")).counts == counts


@pytest.mark.parametrize(("several"), [False, True])
def test_rouge_is_that_of_rouge_score(several: bool) -> None:
    oracle = RougeScorer(["rougeL"])
    streams = [FIRST, SECOND][: 1 + several]

    for answer, *references in zip(ANSWERS, *streams, strict=True):
        best = oracle.score_multi(references, answer)["rougeL"].fmeasure
        assert scorer("rouge-l").score(answer, Expected((*references,))).counts == (best, 1.0)


def test_rouge_reads_words_of_all_alphabets() -> None:
    score = scorer("rouge-l").score("猫が 好き", Expected(("猫が 好き",)))

    assert score.counts == (1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "language", "reference", "answer", "right"),
    [
        ({}, None, "red", "  Red. ", True),
        ({}, None, "red", "reds", False),
        ({}, None, "red", "", False),
        ({}, None, "it's", "its", True),
        ({}, None, "“red”", "red", True),
        ({}, None, "red – blue", "red blue", True),
        ({}, None, "café", "cafe\u0301", True),
        ({}, None, "Straße", "STRASSE", True),
        ({}, None, "２", "2", True),
        ({}, None, "5", "$5", True),
        ({}, None, "?", "!", False),
        ({}, None, "😀", "😢", False),
        ({}, "en", "a dog", "dog", False),
        ({"articles": False}, "en", "a dog", "The dog!", True),
        ({"articles": False}, "ms", "a dog", "dog", False),
        ({"articles": False}, "en", "the", "a", False),
        ({"case": True}, None, "Red", "red", False),
        ({"punctuation": True}, None, "red.", "red", False),
        ({}, "ms", "kanak-kanak", "kanak kanak", True),
        ({}, "ms", "kanak-kanak", "Kanak2", True),
        ({}, "ms-MY", "kanak-kanak", "kanak kanak", True),
        ({}, "en", "kanak-kanak", "kanak kanak", False),
        ({}, "ms", "dua", "dua-dua", False),
    ],
)
def test_exact_compares_after_normalisation(
    options: dict[str, Any], language: str | None, reference: str, answer: str, right: bool
) -> None:
    expected = Expected(("something else", reference), language=language)

    assert scorer("exact", options).score(answer, expected).counts == (float(right), 1.0)


@pytest.mark.parametrize(
    ("options", "references", "answer", "right"),
    [
        ({}, ("red",), "It is red.", True),
        ({}, ("red",), "reddish", False),
        ({"words": False}, ("red",), "reddish", True),
        ({}, ("dark red",), "A dark, red car", True),
        ({}, ("red", "blue"), "blue", True),
        ({"every": True}, ("red", "blue"), "blue", False),
        ({"every": True}, ("red", "blue"), "blue and red", True),
        ({}, ("red",), "", False),
    ],
)
def test_contains_looks_for_whole_words(
    options: dict[str, Any], references: tuple[str, ...], answer: str, right: bool
) -> None:
    assert scorer("contains", options).score(answer, Expected(references)).counts == (right, 1.0)


@pytest.mark.parametrize(
    ("votes", "answer", "value"),
    [
        # The mean over leaving each person out, by hand.
        ({"cat": 10}, "cat", 1.0),
        ({"cat": 4, "dog": 6}, "cat", 1.0),
        ({"cat": 3, "dog": 7}, "cat", (7 * 1 + 3 * 2 / 3) / 10),
        ({"cat": 2, "dog": 8}, "cat", (8 * 2 / 3 + 2 * 1 / 3) / 10),
        ({"cat": 1, "dog": 9}, "Cat.", 9 * 1 / 3 / 10),
        ({"dog": 10}, "cat", 0.0),
        ({"cat": 1, "dog": 2}, "cat", 1.0),
        ({"dog": 10}, "", 0.0),
    ],
)
def test_consensus_is_the_accuracy_of_vqa(votes: dict[str, int], answer: str, value: float) -> None:
    given = tuple(text for text, count in votes.items() for _ in range(count))

    counts = scorer("consensus").score(answer, Expected(given)).counts

    assert counts == (pytest.approx(value), 1.0)


@pytest.mark.parametrize("name", ["wer", "cer", "bleu", "chrf", "rouge-l", "contains"])
def test_an_empty_reference_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a reference"):
        scorer(name).check(Expected(("a", " ")))
