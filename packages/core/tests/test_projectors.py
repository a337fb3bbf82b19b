"""The projectors that ship with core."""

from __future__ import annotations

import pytest
import torch

from mmmodal.config import validate
from mmmodal.contracts import Projector
from mmmodal.errors import ConfigError, PartError
from mmmodal.projectors.conv import Conv, ConvOptions
from mmmodal.projectors.linear import Linear
from mmmodal.projectors.mlp import MLP
from mmmodal.testing import ProjectorTests


class TestLinear(ProjectorTests):
    @pytest.fixture
    def projector(self) -> Projector:
        return Linear()

    @pytest.fixture
    def shapes(self) -> list[tuple[int, ...]]:
        return [(1,), (50,), (1, 4, 4), (3, 2, 5)]


class TestMLP(ProjectorTests):
    @pytest.fixture
    def projector(self) -> Projector:
        return MLP()

    @pytest.fixture
    def shapes(self) -> list[tuple[int, ...]]:
        return [(1,), (50,), (1, 4, 4), (3, 2, 5)]


class TestConv(ProjectorTests):
    @pytest.fixture
    def projector(self) -> Projector:
        return Conv()

    @pytest.fixture
    def shapes(self) -> list[tuple[int, ...]]:
        return [(1,), (39,), (40,), (41,), (43,), (130,)]

    @pytest.fixture
    def refused(self) -> list[tuple[int, ...]]:
        return [(1, 24, 24), (2, 50)]


class TestConvOfOtherSizes(ProjectorTests):
    @pytest.fixture
    def projector(self) -> Projector:
        return Conv(ConvOptions(kernel=3, stride=2))


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_whisper_clip_of_30_s_makes_the_487_tokens_of_the_paper() -> None:
    assert Conv().length((1500,)) == 487


def test_image_of_384_pixels_makes_the_576_tokens_of_the_paper() -> None:
    assert MLP().length((1, 24, 24)) == 576


@pytest.mark.parametrize(("width", "image", "audio"), [(1024, 1.8, 32.5), (4096, 19.9, 142.6)])
def test_parameters_are_as_many_as_in_the_paper(width: int, image: float, audio: float) -> None:
    with torch.device("meta"):
        assert parameters(MLP().build(768, width)) / 1e6 == pytest.approx(image, abs=0.05)
        assert parameters(Conv().build(768, width)) / 1e6 == pytest.approx(audio, abs=0.05)


@pytest.mark.parametrize(("name", "projector"), [("mlp", MLP()), ("conv", Conv())])
def test_layers_have_the_names_of_published_checkpoints(name: str, projector: Projector) -> None:
    names = set(projector.build(8, 12).state_dict())
    layers = ("linear_1", "linear_2")
    assert names == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_mlp_is_two_layers_with_an_exact_gelu() -> None:
    module = MLP().build(8, 12)
    features = torch.randn(5, 8)
    hidden = torch.nn.functional.gelu(module.linear_1(features))
    torch.testing.assert_close(module(features), module.linear_2(hidden))


def test_conv_is_the_plain_convolution_of_the_paper() -> None:
    module = Conv().build(8, 12)
    features = torch.randn(1, 100, 8)
    hidden = torch.nn.functional.conv1d(
        features.transpose(1, 2), module.linear_1.weight, module.linear_1.bias, stride=3
    )
    expected = module.linear_2(torch.nn.functional.gelu(hidden).transpose(1, 2))
    torch.testing.assert_close(module(features, [(100,)]), expected)


def test_conv_runs_once_for_items_of_any_lengths() -> None:
    module = Conv().build(8, 12)
    calls: list[torch.Size] = []
    module.linear_1.register_forward_hook(lambda _m, args, _out: calls.append(args[0].shape))
    module(torch.randn(3, 90, 8), [(90,), (2,), (40,)])
    module(torch.randn(1, 2, 8), [(2,)])
    assert len(calls) == 2


def test_conv_refusal_says_what_to_use_instead() -> None:
    with pytest.raises(PartError, match=r"not grids such as \(1, 24, 24\); use 'mlp'"):
        Conv().length((1, 24, 24))


def test_conv_without_a_stride_is_refused() -> None:
    with pytest.raises(ConfigError, match="stride"):
        validate(ConvOptions, {"stride": 0}, "options of projector 'conv'")
