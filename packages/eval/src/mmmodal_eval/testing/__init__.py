"""The conformance suite of scorers: subclass it in a pytest file, define its fixtures, run pytest.

from mmmodal_eval.testing import ScorerTests

class TestLength(ScorerTests):
    @pytest.fixture
    def scorer(self):
        return Length()

    @pytest.fixture
    def right(self):
        return "two words", Expected(("some words",))

    @pytest.fixture
    def wrong(self):
        return "a", Expected(("some words",))
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("mmmodal_eval.testing.scorers")

from mmmodal_eval.testing.scorers import Asked, ScorerTests  # noqa: E402

__all__ = ["Asked", "ScorerTests"]
