"""Which choice an answer names, and which is the likeliest."""

from __future__ import annotations

import pytest

from mmmodal_eval.contracts import Expected
from mmmodal_eval.parts import scorer
from mmmodal_eval.scorers.choices import Choices

COLOURS = ("red", "blue", "dark red", "none of them")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(b)", "B"),
        ("B.", "B"),
        ("[B]", "B"),
        (" **B** ", "B"),
        ("Ｂ", "B"),
        ("B)", "B"),
        ("E", None),
        ("", None),
        ("   ", None),
        ("?", None),
        ("blue", "B"),
        ("Blue.", "B"),
        ("B. blue", "B"),
        ("(B) Blue, as the sky", "B"),
        ("B: the left one", "B"),
        ("b) blue", "B"),
        ("B. red", None),
        ("C. dark red", "C"),
        ("C. red", None),
        ("B, because it is blue and not red.", "B"),
        ("B because of the sky", "B"),
        ("A is correct", "A"),
        ("The answer is B", "B"),
        ("The answer is B.", "B"),
        ("The answer is b", "B"),
        ("The correct answer is (B) blue.", "B"),
        ("Answer: B", "B"),
        ("**Answer:** (b)", "B"),
        ("answer = B", "B"),
        ("The answer should be option B, I think.", "B"),
        ("The answer is A because it is red", "A"),
        ("The answer is a blue car", "B"),
        ("The answer is blue", "B"),
        ("The answer is B: red", None),
        ("The answer is B or C", None),
        ("The answer is B. No, the answer is C.", None),
        ("A. red\nB. blue\nC. dark red\nThe answer is B.", "B"),
        ("A. red B. blue", None),
        ("(A) red or (B) blue", None),
        ("A, B", None),
        ("A or B", None),
        ("Both A and B", None),
        ("I choose B", "B"),
        ("Option (b)", "B"),
        ("Option A is green. Option B is right, so my answer is B", "B"),
        ("It must be (B).", "B"),
        ("It is (B), not (A).", None),
        ("The car is blue.", "B"),
        ("The car is dark red.", "C"),
        ("Neither red nor blue", None),
        ("It is not red.", None),
        ("It is not red, it is blue.", None),
        ("It isn't a red one", None),
        ("It is red and blue.", None),
        ("reddish", None),
        ("None of them", "D"),
        ("\\boxed{B}", "B"),
        ("So $\\boxed{\\text{B}}$", "B"),
        ("Jawapannya ialah B", "B"),
        ("Jawapan: (b)", "B"),
        ("Jawapan yang betul ialah B.", "B"),
        ("Saya memilih huruf B", "B"),
        ("Pilihan B kerana langit", "B"),
        ("B atau C", None),
        ("Bukan red", None),
        ("I think so", None),
        ("😀", None),
    ],
)
def test_an_answer_names_a_choice_or_none(answer: str, letter: str | None) -> None:
    index = Choices(COLOURS).read(answer)

    assert (None if index is None else "ABCD"[index]) == letter


@pytest.mark.parametrize(
    ("choices", "answer", "index"),
    [
        (("1", "2", "3"), "There are 2 dogs.", 1),
        (("1", "2", "3"), "2.", 1),
        (("Yes", "No"), "No, it is not.", 1),
        (("yes", "no"), "Yes.", 0),
        (("B", "A"), "B", 0),
        (("B", "A"), "(a)", 1),
        (("a dog", "a cat"), "A cat.", 1),
        (("a dog", "a cat"), "A dog stands there.", 0),
        (("(A) left", "(B) right"), "right", 1),
        (("(A) left", "(B) right"), "(B) right", 1),
        (("A. left", "B. right"), "left", 0),
        (("same", "same"), "same", None),
        (("same", "same"), "B. same", 1),
        (("kucing", "anjing"), "Seekor anjing.", 1),
        (("merah", "biru"), "Bukan merah", None),
        (("猫", "犬"), "犬", 1),
        (("[B-C]", "x*"), "x*", 1),
    ],
)
def test_choices_may_be_anything(choices: tuple[str, ...], answer: str, index: int | None) -> None:
    assert Choices(choices, "ms").read(answer) == index


def test_a_right_choice_counts_and_the_letter_is_told() -> None:
    expected = Expected(("blue",), COLOURS)

    right, wrong, unread = (scorer("choice").score(said, expected) for said in ("(b)", "A", "hm"))

    assert (right.counts, right.read) == ((1.0, 1.0), "B")
    assert (wrong.counts, wrong.read) == ((0.0, 1.0), "A")
    assert (unread.counts, unread.read) == ((0.0, 1.0), None) and "no choice" in unread.note


@pytest.mark.parametrize(
    ("references", "choices", "said", "right"),
    [
        (("B",), COLOURS, "blue", True),
        (("blue", "A"), COLOURS, "red", True),
        (("B",), ("B", "A"), "B", True),
        (("b",), ("left", "right"), "A", False),
        (("(A) left",), ("(A) left", "(B) right"), "A", True),
        (("B",), ("same", "same"), "B", True),
        (("B",), ("same", "same"), "A", False),
    ],
)
def test_a_reference_is_a_choice_or_its_letter(
    references: tuple[str, ...], choices: tuple[str, ...], said: str, right: bool
) -> None:
    expected = Expected(references, choices)
    found = scorer("choice")
    found.check(expected)

    assert found.score(said, expected).counts == (float(right), 1.0)


@pytest.mark.parametrize("name", ["choice", "choice-likelihood"])
@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (Expected(("green",), COLOURS), "'green' is not among the choices"),
        (Expected(("E",), COLOURS), "'E' is not among the choices"),
        (Expected(("red",)), "it has 0 choices"),
        (Expected(("red",), ("red",)), "it has 1 choices"),
        (Expected(("red",), tuple(map(str, range(27)))), "it has 27 choices"),
    ],
)
def test_a_question_that_cannot_be_scored_is_refused(
    name: str, expected: Expected, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        scorer(name).check(expected)


SHOWN = "Which?\nA. red\nB. blue\nAnswer with the letter of your choice."


@pytest.mark.parametrize(
    ("options", "question", "ranked"),
    [
        ({}, SHOWN, ("A", "B")),
        ({}, "Which? (A) red (B) blue", ("A", "B")),
        ({}, "Which?", ("red", "blue")),
        ({"ranked": "letters"}, "Which?", ("A", "B")),
        ({"ranked": "texts"}, SHOWN, ("red", "blue")),
    ],
)
def test_what_the_question_shows_is_ranked(
    options: dict[str, object], question: str, ranked: tuple[str, ...]
) -> None:
    expected = Expected(("red",), ("red", "blue"), question=question)

    assert scorer("choice-likelihood", options).ranked(expected) == ranked


@pytest.mark.parametrize(
    ("options", "likelihoods", "letter"),
    [
        ({}, (-1.0, -2.0), "A"),
        ({}, (-3.0, -2.9), "B"),
        ({}, (-1.0, -1.0), "A"),
        ({}, (-4.0, -5.0), "A"),
        # -4 / 3 < -5 / 7
        ({"per_character": True}, (-4.0, -5.0), "B"),
    ],
)
def test_the_likeliest_choice_is_the_answer(
    options: dict[str, object], likelihoods: tuple[float, ...], letter: str
) -> None:
    expected = Expected(("red",), ("red", "magenta"), likelihoods=likelihoods)

    score = scorer("choice-likelihood", options).score("anything", expected)

    assert (score.read, score.counts) == (letter, (float(letter == "A"), 1.0))


def test_likelihoods_that_are_missing_are_an_error() -> None:
    with pytest.raises(ValueError, match="0 likelihoods of 2 choices; an endpoint gives none"):
        scorer("choice-likelihood").score("A", Expected(("red",), ("red", "blue")))
