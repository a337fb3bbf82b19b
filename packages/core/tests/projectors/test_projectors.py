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
from mmmodal.projectors.perceiver import Perceiver, PerceiverOptions
from mmmodal.projectors.perceiver_layers import PerceiverLayers
from mmmodal.projectors.pixel_shuffle import PixelShuffle, PixelShuffleOptions
from mmmodal.projectors.pixel_shuffle_layers import fold
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


@pytest.mark.parametrize("factor", [2, 3, 4])
class TestPixelShuffle(ProjectorTests):
    @pytest.fixture
    def projector(self, factor: int) -> Projector:
        return PixelShuffle(PixelShuffleOptions(factor=factor))

    @pytest.fixture
    def shapes(self, factor: int) -> list[tuple[int, ...]]:
        f = factor
        return [(1, f, f), (1, 2 * f, 2 * f), (3, f, 2 * f), (2, f, 2 * f), (3, 2 * f, f)]

    @pytest.fixture
    def refused(self, factor: int) -> list[tuple[int, ...]]:
        return [(36,), (1, factor, factor + 1), (2, 1, factor)]


class TestPixelShuffleOfGridsThatAreAllTheSame(ProjectorTests):
    @pytest.fixture
    def projector(self) -> Projector:
        return PixelShuffle()

    @pytest.fixture
    def shapes(self) -> list[tuple[int, ...]]:
        return [(2, 4, 6)] * 3


@pytest.mark.parametrize("layers", [1, 2])
class TestPerceiver(ProjectorTests):
    @pytest.fixture
    def projector(self, layers: int) -> Projector:
        return Perceiver(PerceiverOptions(queries=5, layers=layers, heads=2, head_width=4))

    @pytest.fixture
    def shapes(self) -> list[tuple[int, ...]]:
        return [(1,), (50,), (1, 4, 4), (3, 2, 5), (5,)]


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


@pytest.mark.parametrize("stride", [1, 3, 7, 50])
def test_conv_does_not_pay_for_the_length_of_neighbours(stride: int) -> None:
    projector = Conv(ConvOptions(stride=stride))
    module = projector.build(8, 12)
    positions: list[int] = []
    module.linear_1.register_forward_hook(lambda _m, args, _out: positions.append(args[0].shape[2]))
    shapes = [(1500,), (100,), (2,), (101,), (1500,)]
    features = torch.randn(5, 1500, 8)  # what lies behind an item is not looked at either
    together = module(features, shapes)
    assert positions[0] <= 1500 + 100 + 40 + 101 + 1500 + 5 * stride
    for item, (n,), output in zip(features, shapes, together, strict=True):
        alone = module(torch.nn.functional.pad(item[:n], (0, 0, 0, max(0, 40 - n)))[None], [(n,)])
        length = projector.length((n,))
        torch.testing.assert_close(output[:length], alone[0, :length], atol=1e-5, rtol=0)


def test_conv_refusal_says_what_to_use_instead() -> None:
    with pytest.raises(PartError, match=r"not grids such as \(1, 24, 24\); use 'mlp'"):
        Conv().length((1, 24, 24))


def test_conv_without_a_stride_is_refused() -> None:
    with pytest.raises(ConfigError, match="stride"):
        validate(ConvOptions, {"stride": 0}, "options of projector 'conv'")


def test_pixel_shuffle_leaves_144_or_64_of_576_tokens() -> None:
    lengths = [PixelShuffle(PixelShuffleOptions(factor=f)).length((1, 24, 24)) for f in (2, 3, 4)]
    assert lengths == [144, 64, 36]


@pytest.mark.parametrize(("factor", "tiles"), [(2, 1), (3, 1), (4, 1), (2, 3)])
def test_pixel_shuffle_folds_as_idefics3_does(factor: int, tiles: int) -> None:
    from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector

    features = torch.randn(2, tiles, 24 * 24, 8)
    theirs = Idefics3Connector.pixel_shuffle(None, features.flatten(0, 1), factor)
    ours = fold(features.flatten(1, 2), (tiles, 24, 24), factor)
    assert torch.equal(ours, theirs.reshape(ours.shape))


def test_pixel_shuffle_equals_the_projector_of_internvl() -> None:
    from transformers import InternVLConfig
    from transformers.models.internvl.modeling_internvl import (
        InternVLModel,
        InternVLMultiModalProjector,
    )

    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = InternVLConfig(vision_config=sizes, text_config={"model_type": "qwen2", **sizes})
    theirs = InternVLMultiModalProjector(config)
    theirs.layer_norm = torch.nn.Identity()  # which they put before the first layer
    ours = PixelShuffle().build(8, 8)
    ours.load_state_dict(theirs.state_dict())
    features = torch.randn(3, 6, 10, 8)
    expected = theirs(InternVLModel.pixel_shuffle(None, features).flatten(1, 2))
    found = ours(features.flatten(1, 2), [(1, 6, 10)] * 3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_pixel_shuffle_does_the_work_of_no_padding() -> None:
    module = PixelShuffle().build(8, 12)
    rows: list[int] = []
    module.linear_1.register_forward_hook(lambda _m, args, _out: rows.append(args[0].numel() // 32))
    module(torch.randn(2, 64, 8), [(4, 4, 4), (1, 4, 4)])
    module(torch.randn(2, 64, 8), [(1, 8, 8), (1, 8, 8)])
    assert rows == [16 + 4, 16 + 16]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 27, 27), "cannot fold a grid of 27 × 27 by 2; set factor to 3"),
        ((2, 9, 18), "cannot fold a grid of 9 × 18 by 2; set factor to 3"),
        ((1, 13, 26), "nor does any of the factors 2, 3, 4 fit; use 'mlp' or 'perceiver'"),
        ((1500,), r"accepts grids .* not sequences such as \(1500,\); use 'conv'"),
    ],
)
def test_pixel_shuffle_refusal_says_what_would_do(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(PartError, match=message):
        PixelShuffle().length(shape)


def test_pixel_shuffle_by_other_factors_is_refused() -> None:
    with pytest.raises(ConfigError, match="factor"):
        validate(PixelShuffleOptions, {"factor": 5}, "options of projector 'pixel-shuffle'")


def test_projectors_that_keep_tiles_apart_tell_their_runs() -> None:
    assert MLP().runs((3, 4, 4)) == (16, 16, 16)
    assert PixelShuffle().runs((3, 4, 4)) == (4, 4, 4)
    assert Perceiver().runs((3, 4, 4)) == (64,)
    assert MLP().runs((48,)) == (48,)
    assert Conv().runs((1500,)) == (487,)


def idefics2_resampler(width: int, depth: int, heads: int, head_width: int) -> torch.nn.Module:
    """Return transformers' own, with weights that matter in every place."""
    from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig
    from transformers.models.idefics2.modeling_idefics2 import Idefics2PerceiverResampler

    config = Idefics2PerceiverConfig(
        hidden_size=width,
        resampler_n_latents=6,
        resampler_depth=depth,
        resampler_n_heads=heads,
        resampler_head_dim=head_width,
        num_key_value_heads=heads,
    )
    resampler = Idefics2PerceiverResampler(config).eval()
    for parameter in resampler.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return resampler


IDEFICS2_NAMES = {
    "input_latents_norm": "query_norm",
    "input_context_norm": "feature_norm",
    "post_attention_layernorm": "feed_forward_norm",
    "self_attn.q_proj": "query",
    "self_attn.k_proj": "key",
    "self_attn.v_proj": "value",
    "self_attn.o_proj": "output",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
    "latents": "queries",
}


def test_perceiver_equals_the_resampler_of_idefics2_with_padding() -> None:
    torch.manual_seed(0)
    theirs = idefics2_resampler(16, depth=2, heads=2, head_width=8)
    state = dict(theirs.state_dict())
    for before, after in IDEFICS2_NAMES.items():
        state = {name.replace(before, after): value for name, value in state.items()}
    ours = PerceiverLayers(16, 16, queries=6, layers=2, heads=2, head_width=8).eval()
    ours.linear = torch.nn.Identity()  # the resampler ends before the language model's width
    ours.load_state_dict(state)
    features = torch.randn(3, 20, 16)
    lengths = [20, 1, 13]
    mask = torch.arange(20) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        expected = theirs(features, attention_mask=mask.long())
        found = ours(features, [(length,) for length in lengths])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_perceiver_looks_at_no_padding_whatever_it_holds() -> None:
    torch.manual_seed(0)
    module = Perceiver(PerceiverOptions(queries=3)).build(8, 12)
    features = torch.randn(2, 9, 8)
    expected = module(features, [(9,), (4,)])[1]
    features[1, 4:] = 1e4
    assert torch.equal(module(features, [(9,), (4,)])[1], expected)
