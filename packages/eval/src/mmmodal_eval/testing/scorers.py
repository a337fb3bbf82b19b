"""The conformance suite of scorers."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import pytest

from mmmodal.authoring.parts import ConfigError, validate
from mmmodal.testing import parts
from mmmodal_eval.contracts import Expected, Score, Scorer

__all__ = ["Asked", "ScorerTests"]

Asked = tuple[str, Expected]
"""An answer, and what is known of the right one."""

STRANGE = (
    "",
    " \n\t ",
    "?!…",
    "\x00\ufffd\u202e",
    "😀 ٣ ½ Ａ",
    "猫が好き。",
    "a" * 2000,
    "1,2.3,4 " * 20,
    "A B C (D) " * 20,
)
"""Answers that a model may give, the empty one first."""

BOUNDS = {"share": 1.0, "points": 100.0, "rate": math.inf}
"""The highest figure of each unit."""


class ScorerTests:
    """The tests of a scorer. Define the fixtures `scorer`, `right` and `wrong`; override `refused`.

    The figures of a scorer are functions of counts that are added up over answers, so most tests
    are about counts.
    """

    @pytest.fixture
    def scorer(self) -> Scorer:
        """Return the scorer to test."""
        raise NotImplementedError("define the fixture `scorer`")

    @pytest.fixture
    def right(self) -> Asked:
        """Return an answer that is wholly right."""
        raise NotImplementedError("define the fixture `right`")

    @pytest.fixture
    def wrong(self) -> Asked:
        """Return an answer that is wrong."""
        raise NotImplementedError("define the fixture `wrong`")

    @pytest.fixture
    def refused(self) -> Sequence[Expected]:
        """Return questions that `check` refuses, such as references without a number."""
        return []

    @pytest.fixture
    def asked(self, right: Asked, wrong: Asked) -> list[Asked]:
        """Return answers of all kinds, the right and the wrong one first."""
        return [right, wrong, *((answer, right[1]) for answer in STRANGE)]

    def test_importing_the_plugin_is_light(self, scorer: Scorer) -> None:
        parts.assert_import_is_light(scorer)

    def test_options_survive_json(self, scorer: Scorer) -> None:
        parts.assert_options_survive_json(scorer)

    def test_unknown_options_are_refused(self, scorer: Scorer) -> None:
        with pytest.raises(ConfigError):
            validate(type(scorer).Options, {"no_such_option": 1}, "options")

    def test_it_can_be_sent_to_other_processes(self, scorer: Scorer, right: Asked) -> None:
        received = pickle.loads(pickle.dumps(scorer))
        assert received.options == scorer.options
        assert received.score(*right) == scorer.score(*right)

    def test_its_name_is_one_that_users_can_write(self, scorer: Scorer) -> None:
        assert scorer.name and scorer.name == scorer.name.strip().lower()
        assert not any(character.isspace() for character in scorer.name)

    def test_its_unit_and_direction_are_known(self, scorer: Scorer) -> None:
        for name in ("unit", "better"):
            known = get_args(get_args(get_type_hints(Scorer)[name])[0])
            assert getattr(scorer, name) in known, f"{name} is none of {', '.join(known)}"
        lower = scorer.better == "lower"
        assert lower == (scorer.unit == "rate"), "a rate of errors is better lower, others higher"

    def test_its_signature_is_one_line_with_its_name(self, scorer: Scorer) -> None:
        signature = scorer.signature()
        assert scorer.name in signature
        assert signature.isprintable()

    def test_the_right_answer_is_the_better_one(
        self, scorer: Scorer, right: Asked, wrong: Asked
    ) -> None:
        good, bad = (scorer.figure(scorer.score(*each).counts) for each in (right, wrong))
        better = good > bad if scorer.better == "higher" else good < bad
        assert better, f"the right answer has {good:g}, the wrong one {bad:g}"

    def test_any_answer_gets_a_score_and_the_empty_one(
        self, scorer: Scorer, asked: list[Asked]
    ) -> None:
        for each in asked:
            score = scorer.score(*each)
            assert isinstance(score, Score)
            assert score.read is None or isinstance(score.read, str)
            assert isinstance(score.note, str)

    def test_no_answer_is_better_than_the_right_one(
        self, scorer: Scorer, asked: list[Asked]
    ) -> None:
        figures = [scorer.figure(scorer.score(*each).counts) for each in asked]
        known = [figure for figure in figures if not math.isnan(figure)]
        best = max(known) if scorer.better == "higher" else min(known)
        assert figures[0] == best

    def test_counts_are_finite_and_as_many_for_each_answer(
        self, scorer: Scorer, asked: list[Asked]
    ) -> None:
        counts = [scorer.score(*each).counts for each in asked]
        assert {len(each) for each in counts} == {len(counts[0])}
        assert all(math.isfinite(value) for each in counts for value in each)

    def test_counts_of_a_mean_are_the_value_and_one(
        self, scorer: Scorer, asked: list[Asked]
    ) -> None:
        if not scorer.is_mean:
            pytest.skip("its figure is no mean")
        for each in asked:
            value, *rest = scorer.score(*each).counts
            assert rest == [1.0], "set `is_mean` to false, or return the value and 1"
            assert scorer.figure((value, 1.0)) == value

    def test_figures_stay_within_their_unit(self, scorer: Scorer, asked: list[Asked]) -> None:
        for each in asked:
            figure = scorer.figure(scorer.score(*each).counts)
            assert math.isnan(figure) or 0 <= figure <= BOUNDS[scorer.unit] + 1e-9

    def test_counts_add_up(self, scorer: Scorer, right: Asked, wrong: Asked) -> None:
        for each in (right, wrong):
            counts = scorer.score(*each).counts
            twice = scorer.figure([2 * value for value in counts])
            assert twice == pytest.approx(scorer.figure(counts)), "equal answers change the figure"

    def test_equal_answers_get_equal_scores(self, scorer: Scorer, asked: list[Asked]) -> None:
        first = [scorer.score(*each) for each in asked]
        assert [scorer.score(*each) for each in reversed(asked)] == first[::-1]
        fresh: Any = type(scorer)(scorer.options)
        assert [fresh.score(*each) for each in asked] == first

    def test_many_answers_get_the_scores_of_each(self, scorer: Scorer, asked: list[Asked]) -> None:
        assert scorer.score_all(asked) == [scorer.score(*each) for each in asked]
        assert scorer.score_all([]) == []

    def test_it_can_be_asked_what_it_scores(
        self, scorer: Scorer, right: Asked, wrong: Asked
    ) -> None:
        for _, expected in (right, wrong):
            scorer.check(expected)

    def test_what_it_cannot_score_is_refused_with_a_reason(
        self, scorer: Scorer, refused: Sequence[Expected]
    ) -> None:
        for expected in refused:
            with pytest.raises(ValueError, match=r"\w \w"):
                scorer.check(expected)

    def test_it_ranks_an_answer_of_each_choice(self, scorer: Scorer, right: Asked) -> None:
        if not scorer.ranks_choices:
            pytest.skip("it needs no likelihoods")
        ranked = scorer.ranked(right[1])
        assert len(ranked) == len(right[1].choices) == len(set(ranked))

    def test_notes_are_sentences(self, scorer: Scorer, right: Asked) -> None:
        for note in scorer.notes(scorer.score(*right).counts):
            assert note.isprintable() and note.endswith(".")
