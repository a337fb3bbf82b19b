"""Our scorers keep the contract of scorers, and the suite catches those that break it."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, Field

from language_server import Reply, serving
from mmmodal.authoring.parts import Config
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.parts import registry, scorer
from mmmodal_eval.testing import Asked, ScorerTests

SENTENCE = Expected(("The red car is on the left side.",), language="en", question="What is it?")
RIGHT, WRONG = SENTENCE.references[0], "Nobody knows any of that"
CHOICE = Expected(("blue",), ("red", "blue"))
NUMBER = Expected(("12.5",), language="en")
EMPTY = [Expected((" ",))]
ALIKE = Expected(("cat",) * 7 + ("dog",) * 3)


def ranked(*likelihoods: float) -> Asked:
    return "", Expected(("blue",), ("red", "blue"), likelihoods=likelihoods)


OURS: dict[str, tuple[Asked, Asked, Sequence[Expected]]] = {
    "exact": ((RIGHT, SENTENCE), (WRONG, SENTENCE), ()),
    "contains": ((RIGHT, SENTENCE), (WRONG, SENTENCE), EMPTY),
    "consensus": (("Cat", ALIKE), ("cow", ALIKE), ()),
    "wer": ((RIGHT, SENTENCE), (WRONG, SENTENCE), EMPTY),
    "cer": ((RIGHT, SENTENCE), (WRONG, SENTENCE), EMPTY),
    "bleu": ((RIGHT, SENTENCE), (WRONG, SENTENCE), EMPTY),
    "chrf": ((RIGHT, SENTENCE), (WRONG, SENTENCE), EMPTY),
    "rouge-l": ((RIGHT, SENTENCE), (WRONG, SENTENCE), EMPTY),
    "choice": (("B", CHOICE), ("A", CHOICE), [SENTENCE, Expected(("green",), ("red", "blue"))]),
    "choice-likelihood": (ranked(-2, -1), ranked(-1, -2), [SENTENCE]),
    "number": (("12.50", NUMBER), ("13", NUMBER), [SENTENCE, Expected(("1 of 2",))]),
    "judge": ((RIGHT, SENTENCE), (WRONG, SENTENCE), ()),
}


def judged(request: dict[str, Any], number: int) -> Reply:
    answer = request["messages"][0]["content"].split("<answer>\n")[1].split("\n</answer>")[0]
    return Reply(f"Verdict: {'RIGHT' if answer == RIGHT else 'WRONG'}")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Return the options of scorers that need some."""
    with serving(judged) as server:
        kept = str(tmp_path_factory.mktemp("kept"))
        yield {"judge": {"model": "m", "base_url": server.url, "kept": kept}}


@pytest.mark.parametrize("name", OURS)
class TestOurs(ScorerTests):
    @pytest.fixture
    def scorer(self, name: str, options: dict[str, dict[str, Any]]) -> Scorer:
        return scorer(name, options.get(name))

    @pytest.fixture
    def right(self, name: str) -> Asked:
        return OURS[name][0]

    @pytest.fixture
    def wrong(self, name: str) -> Asked:
        return OURS[name][1]

    @pytest.fixture
    def refused(self, name: str) -> Sequence[Expected]:
        return OURS[name][2]


def test_all_our_scorers_are_tested() -> None:
    assert {*registry().names("scorers")} == {*OURS}


class Sound(Scorer):
    """A scorer without faults, which the others change."""

    name = "sound"

    def score(self, answer: str, expected: Expected) -> Score:
        return Score((float(answer in expected.references), 1.0), answer or None)


class Rigid(Config):
    number: int = Field(1, exclude=True)


class Loose(Config):
    model_config = ConfigDict(extra="ignore")


def score_of(function: Callable[[str, Expected], Any]) -> dict[str, Any]:
    return {"score": lambda self, answer, expected: function(answer, expected)}


def value(answer: str, expected: Expected) -> float:
    return float(answer in expected.references)


def demanding(self: Scorer, answer: str, expected: Expected) -> Score:
    return Score((value(answer, expected) / len(answer), 1.0))


def counting(counter: Iterator[int]) -> dict[str, Any]:
    return score_of(lambda answer, _: Score((float(next(counter) % 2), 1.0)))


def refuses(self: Scorer, expected: Expected) -> None:
    raise ValueError("it scores nothing at all")


CAUGHT: dict[str, tuple[dict[str, Any], str]] = {
    "options that are not stored": (
        {"Options": Rigid, "__init__": lambda self: setattr(self, "options", Rigid(number=2))},
        "test_options_survive_json",
    ),
    "any option": ({"Options": Loose}, "test_unknown_options_are_refused"),
    "a lambda inside": (
        {"__init__": lambda self, options=None: setattr(self, "options", lambda: 1)},
        "test_it_can_be_sent_to_other_processes",
    ),
    "a name with spaces": ({"name": "Sound scorer"}, "test_its_name_is_one_that_users_can_write"),
    "an unknown unit": ({"unit": "percent"}, "test_its_unit_and_direction_are_known"),
    "an unknown direction": ({"better": "more"}, "test_its_unit_and_direction_are_known"),
    "a rate that is better higher": ({"unit": "rate"}, "test_its_unit_and_direction_are_known"),
    "a signature of two lines": (
        {"signature": lambda self: "sound\nscorer"},
        "test_its_signature_is_one_line_with_its_name",
    ),
    "a signature without the name": (
        {"signature": lambda self: "1.0"},
        "test_its_signature_is_one_line_with_its_name",
    ),
    "the wrong way round": (
        score_of(lambda answer, known: Score((1 - value(answer, known), 1.0))),
        "test_the_right_answer_is_the_better_one",
    ),
    "all answers alike": (
        score_of(lambda answer, known: Score((1.0, 1.0))),
        "test_the_right_answer_is_the_better_one",
    ),
    "an error for the empty answer": (
        {"score": demanding},
        "test_any_answer_gets_a_score_and_the_empty_one",
    ),
    "a bare number": (
        score_of(value),
        "test_any_answer_gets_a_score_and_the_empty_one",
    ),
    "a number that was read": (
        score_of(lambda answer, known: Score((value(answer, known), 1.0), read=5)),  # type: ignore[arg-type]
        "test_any_answer_gets_a_score_and_the_empty_one",
    ),
    "the empty answer is best": (
        score_of(lambda a, known: Score((0.5 * value(a, known) + (not a.strip()), 1.0))),
        "test_no_answer_is_better_than_the_right_one",
    ),
    "fewer counts for the empty answer": (
        score_of(lambda a, known: Score((value(a, known), 1.0) if a.strip() else (0.0,))),
        "test_counts_are_finite_and_as_many_for_each_answer",
    ),
    "no number": (
        score_of(lambda a, known: Score((value(a, known) if a.strip() else float("nan"), 1.0))),
        "test_counts_are_finite_and_as_many_for_each_answer",
    ),
    "a mean with a weight": (
        score_of(lambda a, known: Score((2 * value(a, known), 2.0))),
        "test_counts_of_a_mean_are_the_value_and_one",
    ),
    "percent for a share": (
        score_of(lambda a, known: Score((100 * value(a, known), 1.0))),
        "test_figures_stay_within_their_unit",
    ),
    "a figure that grows": (
        {"is_mean": False, "figure": lambda self, totals: totals[0] / 10},
        "test_counts_add_up",
    ),
    "another score each time": (
        counting(itertools.count(1)),
        "test_equal_answers_get_equal_scores",
    ),
    "many in another order": (
        {"score_all": lambda self, asked: [self.score(*each) for each in asked][::-1]},
        "test_many_answers_get_the_scores_of_each",
    ),
    "a check that refuses all": ({"check": refuses}, "test_it_can_be_asked_what_it_scores"),
    "a check that refuses nothing": ({}, "test_what_it_cannot_score_is_refused_with_a_reason"),
    "choices that are not ranked": (
        {"ranks_choices": True, "ranked": lambda self, expected: ("A",)},
        "test_it_ranks_an_answer_of_each_choice",
    ),
    "a note that is no sentence": (
        {"notes": lambda self, totals: ["12 of 20\n"]},
        "test_notes_are_sentences",
    ),
}


def run(tested: Scorer, name: str, refused: Sequence[Expected] = ()) -> None:
    """Run one test of the suite."""
    right, wrong = (RIGHT, CHOICE_LIKE), (WRONG, CHOICE_LIKE)
    suite = ScorerTests()
    given = {"scorer": tested, "right": right, "wrong": wrong, "refused": refused}
    given["asked"] = ScorerTests.asked.__wrapped__(suite, right, wrong)  # type: ignore[attr-defined]
    method = getattr(suite, name)
    method(**{key: given[key] for key in inspect.signature(method).parameters})


CHOICE_LIKE = Expected((RIGHT,), (RIGHT, WRONG))
TESTS = [name for name in vars(ScorerTests) if name.startswith("test_")]


@pytest.mark.parametrize("name", TESTS)
def test_a_scorer_without_faults_passes(name: str) -> None:
    if name != "test_it_ranks_an_answer_of_each_choice":
        run(Sound(), name)


@pytest.mark.parametrize("fault", CAUGHT)
def test_a_fault_is_caught(fault: str) -> None:
    changes, name = CAUGHT[fault]
    broken = type("Broken", (Sound,), changes)
    refused = [SENTENCE] if fault == "a check that refuses nothing" else []

    with pytest.raises((Exception, pytest.fail.Exception)):
        run(broken(), name, refused)


def test_each_rule_is_broken_once() -> None:
    assert {name for _, name in CAUGHT.values()} == {*TESTS} - {
        "test_importing_the_plugin_is_light"
    }


def test_a_module_that_imports_torch_is_caught(tmp_path: Path, monkeypatch: Any) -> None:
    text = (
        "import torch\nfrom mmmodal_eval.contracts import Score, Scorer\n\n\nclass Heavy(Scorer):\n"
    )
    text += "    name = 'heavy'\n\n    def score(self, answer, expected):\n        return Score((1.0, 1.0))\n"
    (tmp_path / "heavy_scorer.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import heavy_scorer

    with pytest.raises(AssertionError, match="loads torch"):
        run(heavy_scorer.Heavy(), "test_importing_the_plugin_is_light")
    sys.modules.pop("heavy_scorer")
