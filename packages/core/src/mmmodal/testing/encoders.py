"""The conformance suite of encoders. N items, n positions, D width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmmodal.config import validate
from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.contracts.building import pretrained
from mmmodal.errors import ConfigError, ContractError, MediaError, PartError
from mmmodal.testing import parts

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["EncoderTests"]


class EncoderTests:
    """The tests of an encoder. Define the fixture `encoder` with a small tower.

    Override `items` with items of different sizes, `bad_items` if this encoder refuses some valid
    media, and `source` if it has pretrained weights.
    """

    @pytest.fixture
    def encoder(self) -> Encoder:
        """Return the encoder to test, with its `tower_config` if it has one."""
        raise NotImplementedError("define the fixture `encoder`")

    @pytest.fixture
    def items(self, encoder: Encoder) -> Sequence[Any]:
        """Return valid media items; override it with items of all possible sizes."""
        return [encoder.example(), encoder.example()]

    @pytest.fixture
    def bad_items(self) -> Sequence[Any]:
        """Return items that this encoder must refuse, such as items with too many channels."""
        return []

    @pytest.fixture
    def source(self) -> str | None:
        """Return a source of weights for the tower of `encoder`, for `load`; None: there is none.

        No file is downloaded for it if it is a folder that the test has written.
        """
        return None

    @pytest.fixture
    def tower(self, encoder: Encoder) -> nn.Module:
        """Return a tower with random weights."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(0)
            return encoder.build().eval()

    def encode(self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]) -> list[Tensor]:
        """Return the features of items, from one call of the tower."""
        return self._run(encoder, tower, [encoder.preprocess(item) for item in items])

    def _run(self, encoder: Encoder, tower: nn.Module, prepared: Sequence[Any]) -> list[Tensor]:
        features: list[Tensor] = tower(**encoder.collate(prepared))
        return features

    def _prepared(self, encoder: Encoder, items: Sequence[Any]) -> list[Any]:
        """Return preprocessed items, and a variation of one, as examples are all equal."""
        from mmmodal.model.examination import varied

        prepared = [encoder.preprocess(item) for item in items]
        return [*prepared, varied(prepared[0])]

    def test_importing_the_plugin_is_light(self, encoder: Encoder) -> None:
        parts.assert_import_is_light(encoder)

    def test_it_says_what_it_is(self, encoder: Encoder) -> None:
        assert encoder.name, "an encoder needs a name"
        assert encoder.modality, "an encoder needs a modality"
        assert encoder.width > 0

    def test_its_modality_and_its_projector_are_known(self, encoder: Encoder) -> None:
        modality, projector = encoder.modality, encoder.default_projector.partition(":")[0]
        parts.assert_known("modalities", modality, Modality)
        parts.assert_known("projectors", projector, Projector)

    def test_options_survive_a_checkpoint(self, encoder: Encoder) -> None:
        parts.assert_options_survive_json(encoder)

    def test_unknown_options_are_refused(self, encoder: Encoder) -> None:
        with pytest.raises(ConfigError):
            validate(type(encoder).Options, {"no_such_option": 1}, "options")

    def test_data_workers_can_take_it(self, encoder: Encoder) -> None:
        parts.assert_workers_can_take(encoder)

    def test_preprocessing_is_deterministic(self, encoder: Encoder, items: Sequence[Any]) -> None:
        for item in items:
            parts.assert_equal(encoder.preprocess(item), encoder.preprocess(item))

    def test_preprocessing_needs_options_alone(
        self, encoder: Encoder, items: Sequence[Any]
    ) -> None:
        # A processor is loaded without the config of the model.
        bare = type(encoder)(encoder.options)
        for item in items:
            features = bare.preprocess(item)
            parts.assert_equal(features, encoder.preprocess(item))
            assert bare.shape(features) == encoder.shape(features)
        parts.assert_equal(
            bare.collate([bare.preprocess(item) for item in items]),
            encoder.collate([encoder.preprocess(item) for item in items]),
        )

    def test_bad_items_are_refused_with_a_reason(
        self, encoder: Encoder, bad_items: Sequence[Any]
    ) -> None:
        for item in bad_items:
            with pytest.raises(MediaError):
                encoder.preprocess(item)

    def test_length_is_known_before_the_tower_runs(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        shapes = [encoder.shape(encoder.preprocess(item)) for item in items]
        outputs = self.encode(encoder, tower, items)
        assert len(outputs) == len(items)
        for shape, output in zip(shapes, outputs, strict=True):
            assert len(shape) in (1, 3), "a shape is (n,) or (tiles, h, w)"
            assert math.prod(shape) >= 1, "an item has at least one position"
            assert tuple(output.shape) == (*shape, encoder.width), "a tower must output `shape`"

    def test_measuring_an_item_tells_the_shape_it_will_have(
        self, encoder: Encoder, items: Sequence[Any]
    ) -> None:
        bare = type(encoder)(encoder.options)
        for item in items:
            shape = encoder.shape(encoder.preprocess(item))
            assert bare.measure(item) == shape
            assert bare.fixed_shape in (None, shape)

    def test_an_encoder_that_makes_several_tiles_says_so(
        self, encoder: Encoder, items: Sequence[Any]
    ) -> None:
        shapes = [encoder.shape(encoder.preprocess(item)) for item in items]
        if any(len(shape) == 3 and shape[0] > 1 for shape in shapes):
            assert encoder.tiled, "an encoder with several tiles must be `tiled`"
        assert type(encoder)(encoder.options).tiled == encoder.tiled

    def test_neighbours_in_the_batch_change_nothing(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        import torch

        with torch.no_grad():
            prepared = self._prepared(encoder, items)
            alone = [self._run(encoder, tower, [features])[0] for features in prepared]
            parts.assert_close(self._run(encoder, tower, prepared), alone)
            parts.assert_close(self._run(encoder, tower, prepared[::-1]), alone[::-1])

    def test_neighbours_change_nothing_in_training_either(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        from mmmodal.model.examination import examine_training

        if any(parameter.requires_grad for parameter in tower.parameters()):
            examine_training(encoder, tower, self._prepared(encoder, items))

    def test_features_are_finite(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        assert all(output.isfinite().all() for output in self.encode(encoder, tower, items))

    def test_gradients_reach_every_parameter_that_trains(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        outputs = self.encode(encoder, tower.train(), items)
        if any(parameter.requires_grad for parameter in tower.parameters()):
            parts.assert_gradients_reach_all_parameters(tower, outputs)

    def test_a_frozen_tower_keeps_no_graph(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        outputs = self.encode(encoder, tower.requires_grad_(False), items)
        assert not any(output.requires_grad for output in outputs)

    def test_bfloat16_runs(self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]) -> None:
        import torch

        collated = encoder.collate([encoder.preprocess(item) for item in items])
        # Core casts floating-point tensors, but not lengths and masks.
        cast = {k: v.bfloat16() if v.is_floating_point() else v for k, v in collated.items()}
        for output in tower.to(torch.bfloat16)(**cast):
            assert output.dtype == torch.bfloat16
            assert output.isfinite().all()

    def test_weights_survive_safetensors(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any], tmp_path: Path
    ) -> None:
        twin = parts.through_safetensors(tower, encoder.build, tmp_path)
        self._same(encoder, tower, twin, items)

    def test_pretrained_weights_fit_the_tower(
        self, encoder: Encoder, tower: nn.Module, source: str | None, tmp_path: Path
    ) -> None:
        """Without a `source`, one that is not there must be refused, or gives weights that fit."""
        own = {name: tuple(value.shape) for name, value in tower.state_dict().items()}
        try:
            weights = pretrained(encoder, source or str(tmp_path / "no such source"))
        except PartError as error:
            assert source is None and not isinstance(error, ContractError), str(error)
            return
        loaded = {name: tuple(value.shape) for name, value in weights.items()}
        assert loaded == own, "`load` must yield the names and shapes of the tower's state dict"

    def test_it_can_be_built_on_meta(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        twin = parts.built_again_on_meta(tower, encoder.build)
        self._same(encoder, tower, twin, items)

    def test_its_tower_config_survives_two_checkpoints(
        self, encoder: Encoder, tower: nn.Module, items: Sequence[Any]
    ) -> None:
        config = encoder.tower_config
        if config is None:
            pytest.skip("this encoder has no transformers config")
        for _ in range(2):
            config = type(config)(**config.to_dict())
            encoder = type(encoder)(encoder.options, config)
        twin = encoder.build().eval()
        twin.load_state_dict(tower.state_dict())
        self._same(encoder, tower, twin, items)

    def _same(
        self, encoder: Encoder, tower: nn.Module, twin: nn.Module, items: Sequence[Any]
    ) -> None:
        import torch

        with torch.no_grad():
            expected = self.encode(encoder, tower, items)
            parts.assert_close(self.encode(encoder, twin, items), expected)
