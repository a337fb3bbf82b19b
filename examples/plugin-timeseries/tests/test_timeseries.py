"""The plugin satisfies the contracts; the suites are part of mmmodal-core[testing]."""

import pytest
import torch

from mmmodal.testing import EncoderTests, ModalityTests
from mmmodal_timeseries import Patches, TimeSeries


class TestTimeSeries(ModalityTests):
    @pytest.fixture
    def modality(self) -> TimeSeries:
        return TimeSeries()

    @pytest.fixture
    def data(self) -> bytes:
        return b"0.5,1\n1.5,2\n"


class TestPatches(EncoderTests):
    @pytest.fixture
    def encoder(self) -> Patches:
        return Patches(Patches.Options(channels=2, patch=3, width=8))

    @pytest.fixture
    def items(self) -> list[torch.Tensor]:
        return [torch.randn(3, 2), torch.randn(7, 2)]

    @pytest.fixture
    def bad_items(self) -> list[torch.Tensor]:
        return [torch.randn(3, 5)]
