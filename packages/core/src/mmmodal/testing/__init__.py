"""Conformance suites: subclass one in a pytest file, define its fixtures, and run pytest.

from mmmodal.testing import EncoderTests

class TestPatches(EncoderTests):
    @pytest.fixture
    def encoder(self):
        return Patches(PatchesOptions(width=8))
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "mmmodal.testing.parts",
    "mmmodal.testing.encoders",
    "mmmodal.testing.evaluators",
    "mmmodal.testing.modalities",
    "mmmodal.testing.projectors",
)

from mmmodal.testing.encoders import EncoderTests  # noqa: E402
from mmmodal.testing.evaluators import EvaluatorTests  # noqa: E402
from mmmodal.testing.modalities import ModalityTests  # noqa: E402
from mmmodal.testing.projectors import ProjectorTests  # noqa: E402

__all__ = ["EncoderTests", "EvaluatorTests", "ModalityTests", "ProjectorTests"]
