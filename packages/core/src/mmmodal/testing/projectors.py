"""The conformance suite of projectors. N items, n positions, m tokens, D width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmmodal.config import validate
from mmmodal.contracts import Projector
from mmmodal.contracts.projector import projected, runs_of
from mmmodal.errors import ConfigError, PartError
from mmmodal.testing import parts

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ProjectorTests"]

IN_WIDTH, OUT_WIDTH = 8, 12

Shape = tuple[int, ...]


def _item(n: int) -> Tensor:
    """Return random features [n, D_enc], which are equal in each call."""
    import torch

    return torch.randn(n, IN_WIDTH, generator=torch.Generator().manual_seed(n))


class ProjectorTests:
    """The tests of a projector. Define the fixture `projector`; override `shapes` and `refused`."""

    @pytest.fixture
    def projector(self) -> Projector:
        """Return the projector to test."""
        raise NotImplementedError("define the fixture `projector`")

    @pytest.fixture
    def shapes(self) -> Sequence[Shape]:
        """Return feature shapes of different lengths that it accepts."""
        return [(1,), (7,), (64,), (130,)]

    @pytest.fixture
    def refused(self) -> Sequence[Shape]:
        """Return feature shapes that it refuses."""
        return []

    @pytest.fixture
    def module(self, projector: Projector) -> nn.Module:
        """Return the module with random weights."""
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(0)
            return projector.build(IN_WIDTH, OUT_WIDTH).eval()

    def project(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> list[Tensor]:
        """Return the projected item of each shape, from one call of the module, as in core."""
        dtype = next(module.parameters()).dtype
        items = [_item(math.prod(shape)).to(dtype) for shape in shapes]  # N of [n, D_enc]
        return self._run(projector, module, items, shapes)

    def _run(
        self,
        projector: Projector,
        module: nn.Module,
        items: Sequence[Tensor],
        shapes: Sequence[Shape],
    ) -> list[Tensor]:
        grids = [item.unflatten(0, shape) for item, shape in zip(items, shapes, strict=True)]
        values, lengths = projected(projector, module, grids, OUT_WIDTH)
        return list(values.split(lengths))

    def test_importing_the_plugin_is_light(self, projector: Projector) -> None:
        parts.assert_import_is_light(projector)

    def test_options_survive_a_checkpoint(self, projector: Projector) -> None:
        parts.assert_options_survive_json(projector)

    def test_unknown_options_are_refused(self, projector: Projector) -> None:
        with pytest.raises(ConfigError):
            validate(type(projector).Options, {"no_such_option": 1}, "options")

    def test_data_workers_can_take_it(self, projector: Projector) -> None:
        parts.assert_workers_can_take(projector)

    def test_length_is_known_before_it_runs(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        for shape in shapes:
            (output,) = self.project(projector, module, [shape])
            assert projector.length(shape) >= 1
            assert tuple(output.shape) == (projector.length(shape), OUT_WIDTH)

    def test_shapes_it_cannot_take_are_refused_with_a_reason(
        self, projector: Projector, refused: Sequence[Shape]
    ) -> None:
        for shape in refused:
            with pytest.raises(PartError):
                projector.length(shape)

    def test_runs_add_up_to_the_length(self, projector: Projector, shapes: Sequence[Shape]) -> None:
        for shape in shapes:
            assert sum(runs_of(projector, shape)) == projector.length(shape)

    def test_a_tilewise_projector_looks_at_one_tile(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        import torch

        grids = [shape for shape in shapes if len(shape) == 3 and shape[0] > 1]
        if not projector.tilewise or not grids:
            pytest.skip("it is not tilewise, or none of the shapes has several tiles")
        dtype = next(module.parameters()).dtype
        for tiles, h, w in grids:
            features = _item(tiles * h * w).to(dtype)
            (whole,) = self._run(projector, module, [features], [(tiles, h, w)])
            single = [(1, h, w)] * tiles
            apart = self._run(projector, module, features.chunk(tiles), single)
            parts.assert_close([whole], [torch.cat(apart)])

    def test_neighbours_in_the_batch_change_nothing(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        alone = [self.project(projector, module, [shape])[0] for shape in shapes]
        parts.assert_close(self.project(projector, module, shapes), alone)
        parts.assert_close(self.project(projector, module, shapes[::-1]), alone[::-1])

    def test_neighbours_change_nothing_in_training_either(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        from mmmodal.model.examination import examine_projection_training

        dtype = next(module.parameters()).dtype
        items = [_item(math.prod(shape)).to(dtype).unflatten(0, shape) for shape in shapes]
        examine_projection_training(projector, module, items)

    def test_a_pointwise_projector_looks_at_one_position(
        self, projector: Projector, module: nn.Module
    ) -> None:
        if not projector.pointwise:
            pytest.skip("it is not pointwise")
        features = _item(5)
        parts.assert_close(list(module(features)), [module(row[None])[0] for row in features])

    def test_gradients_reach_every_parameter(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        outputs = self.project(projector, module.train(), shapes)
        parts.assert_gradients_reach_all_parameters(module, outputs)

    def test_bfloat16_runs(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        import torch

        for output in self.project(projector, module.to(torch.bfloat16), shapes):
            assert output.dtype == torch.bfloat16
            assert output.isfinite().all()

    def test_weights_survive_safetensors(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape], tmp_path: Path
    ) -> None:
        twin = parts.through_safetensors(
            module, lambda: projector.build(IN_WIDTH, OUT_WIDTH), tmp_path
        )
        expected = self.project(projector, module, shapes)
        parts.assert_close(self.project(projector, twin, shapes), expected)

    def test_it_can_be_built_on_meta(
        self, projector: Projector, module: nn.Module, shapes: Sequence[Shape]
    ) -> None:
        twin = parts.built_again_on_meta(module, lambda: projector.build(IN_WIDTH, OUT_WIDTH))
        expected = self.project(projector, module, shapes)
        parts.assert_close(self.project(projector, twin, shapes), expected)
