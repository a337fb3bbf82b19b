"""Projectors whose vectors are as large as word embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mmmodal
from mmmodal.contracts import Projector
from mmmodal.errors import PartError
from mmmodal.projectors.conv import Conv, ConvOptions
from mmmodal.projectors.linear import Linear
from mmmodal.projectors.mlp import MLP
from mmmodal.projectors.perceiver import Perceiver, PerceiverOptions
from mmmodal.projectors.pixel_shuffle import PixelShuffle, PixelShuffleOptions
from mmmodal.projectors.scaling import ScaledOptions
from mmmodal.testing import ProjectorTests
from worlds import compose

SCALE = 0.03
GRIDS, SEQUENCES = [(1, 4, 4), (3, 2, 6)], [(1,), (40,), (130,)]
PROJECTORS = {
    "linear": (Linear(ScaledOptions(scale=SCALE)), GRIDS),
    "mlp": (MLP(ScaledOptions(scale=SCALE)), GRIDS),
    "conv": (Conv(ConvOptions(scale=SCALE)), SEQUENCES),
    "pixel-shuffle": (PixelShuffle(PixelShuffleOptions(scale=SCALE)), GRIDS),
    "perceiver": (
        Perceiver(PerceiverOptions(queries=5, layers=1, heads=2, head_width=4, scale=SCALE)),
        GRIDS,
    ),
}


def size(vectors: Tensor) -> Tensor:
    """Return the root mean square of each vector."""
    return vectors.float().pow(2).mean(-1).sqrt()


@pytest.mark.parametrize("name", PROJECTORS)
class TestScaled(ProjectorTests):
    @pytest.fixture
    def projector(self, name: str) -> Projector:
        return PROJECTORS[name][0]

    @pytest.fixture
    def shapes(self, name: str) -> list[tuple[int, ...]]:
        return list(PROJECTORS[name][1])

    def test_all_vectors_are_as_large_as_said(
        self, projector: Projector, module: torch.nn.Module, shapes: list[tuple[int, ...]]
    ) -> None:
        for vectors in self.project(projector, module, shapes):
            torch.testing.assert_close(
                size(vectors), torch.full((len(vectors),), SCALE), rtol=1e-3, atol=0
            )


@pytest.fixture(scope="module")
def folder(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scaled") / "model"
    projectors = {
        "image": mmmodal.Part(name="mlp", options={"scale": "words"}),
        "audio": mmmodal.Part(name="conv", options={"scale": 0.5}),
    }
    compose(parts["llama"], parts, out, projectors=projectors)
    return out


def test_composing_measures_the_words_of_the_language_model(
    folder: Path, parts: dict[str, Path]
) -> None:
    from transformers import AutoModelForCausalLM

    words = AutoModelForCausalLM.from_pretrained(parts["llama"]).get_input_embeddings().weight
    config = json.loads((folder / "config.json").read_text())
    scale = config["image_projector_config"]["options"]["scale"]
    assert scale == pytest.approx(size(words).median().item(), rel=1e-3)
    assert config["audio_projector_config"]["options"]["scale"] == 0.5


def test_a_loaded_model_sees_media_as_large_as_words(folder: Path) -> None:
    model = mmmodal.load(folder)
    scale = model.config.image_projector_config["options"]["scale"]
    image = model.processor.preparer.encoders["image"].example()
    features = model.processor.preparer.encoders["image"].preprocess(image)
    pixels = model.processor.preparer.encoders["image"].collate([features])
    seen = model.get_image_features(*pixels.values()).pooler_output
    torch.testing.assert_close(size(seen), torch.full((len(seen),), scale), rtol=1e-3, atol=0)


def test_the_size_of_words_is_not_guessed_without_a_language_model() -> None:
    with pytest.raises(PartError, match="measured only when a model is composed"):
        MLP(ScaledOptions(scale="words")).build(8, 12)
