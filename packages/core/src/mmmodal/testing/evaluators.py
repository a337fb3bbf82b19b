"""The conformance suite of evaluators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import pytest

from mmmodal.contracts import Evaluator
from mmmodal.contracts.evaluator import Better, HeldOut
from mmmodal.testing import parts

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["EvaluatorTests"]


class EvaluatorTests:
    """The tests of an evaluator. Define the fixtures `evaluator`, `held_out` and `model`."""

    @pytest.fixture
    def evaluator(self) -> Evaluator:
        """Return the evaluator to test, which has not begun."""
        raise NotImplementedError("define the fixture `evaluator`")

    @pytest.fixture
    def held_out(self) -> Sequence[HeldOut]:
        """Return at least two records that it can evaluate."""
        raise NotImplementedError("define the fixture `held_out`")

    @pytest.fixture
    def model(self) -> MMModalForConditionalGeneration:
        """Return a model to ask."""
        raise NotImplementedError("define the fixture `model`")

    def counts(
        self, evaluator: Evaluator, model: Any, held_out: Sequence[HeldOut]
    ) -> Mapping[str, Sequence[float]]:
        """Return the counts of records, asked as core does."""
        evaluator.begin(held_out)
        done: list[int] = []
        counts = evaluator.tally(model, max_new_tokens=4, progress=done.append)
        assert sum(done) == len(held_out), "progress tells another number of records"
        return counts

    def test_importing_the_plugin_is_light(self, evaluator: Evaluator) -> None:
        parts.assert_import_is_light(evaluator)

    def test_options_survive_json(self, evaluator: Evaluator) -> None:
        parts.assert_options_survive_json(evaluator)

    def test_its_figures_have_names_and_directions(
        self, evaluator: Evaluator, held_out: Sequence[HeldOut]
    ) -> None:
        metrics = evaluator.begin(held_out)
        assert metrics, "it has no figures"
        assert not {"loss", "seconds"} & metrics.keys(), "core logs these itself"
        assert set(metrics.values()) <= set(get_args(Better))

    def test_its_counts_make_finite_figures(
        self, evaluator: Evaluator, held_out: Sequence[HeldOut], model: Any
    ) -> None:
        counts = self.counts(evaluator, model, held_out)
        assert counts.keys() & evaluator.begin(held_out).keys(), "nothing was counted"
        for metric, totals in counts.items():
            assert all(math.isfinite(count) for count in totals)
            assert math.isfinite(evaluator.figure(metric, totals))

    def test_the_same_weights_come_to_the_same_counts(
        self, evaluator: Evaluator, held_out: Sequence[HeldOut], model: Any
    ) -> None:
        first = self.counts(evaluator, model, held_out)
        assert self.counts(evaluator, model, held_out) == first

    def test_counts_of_shares_add_up(
        self, evaluator: Evaluator, held_out: Sequence[HeldOut], model: Any
    ) -> None:
        """Core adds up what the ranks return."""
        whole = self.counts(evaluator, model, held_out)
        shares = [self.counts(evaluator, model, some) for some in (held_out[:1], held_out[1:])]
        for metric, totals in whole.items():
            found = [share[metric] for share in shares if metric in share]
            summed = [math.fsum(column) for column in zip(*found, strict=True)]
            assert summed == pytest.approx(list(totals))
