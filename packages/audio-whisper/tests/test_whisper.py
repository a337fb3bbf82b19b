"""Whisper as an encoder of the toolkit: its contract, options, presets and refusals."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmmodal.contracts import Card, Encoder
from mmmodal.errors import MediaError, PartError
from mmmodal.modalities.audio import Waveform
from mmmodal.testing import EncoderTests
from mmmodal_audio_whisper import Whisper, WhisperOptions, mmmodal_encoders
from mmmodal_audio_whisper.presets import PRESETS
from whisper_models import openai_whisper, save_openai
from worlds import RATE, clip


class TestWhisper(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Encoder:
        return Whisper.from_source(str(folder), {})

    @pytest.fixture
    def items(self) -> list[Waveform]:
        return [
            clip(seconds=0.3),
            clip(1, 2.0),
            clip(seconds=0.0),
            clip(2, 5.1),
            clip(3, 0.7, 44_100),
        ]

    @pytest.fixture
    def bad_items(self) -> list[Any]:
        stereo = Waveform(np.zeros((5, 2), np.float32), RATE)
        return [None, "a.wav", np.zeros(5, np.float32), stereo]


class TestWhisperOfOpenai(EncoderTests):
    @pytest.fixture
    def encoder(self, tmp_path: Path) -> Encoder:
        return Whisper.from_source(str(save_openai(openai_whisper(), tmp_path / "mine.pt")), {})

    @pytest.fixture
    def items(self) -> list[Waveform]:
        return [clip(seconds=0.1), clip(seconds=2.02), clip(seconds=7.0, rate=48_000)]


class TestWhisperWithFullWindowsAndPostNorm(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Encoder:
        options = {"length": "full", "post_norm": True, "select_layer": -1}
        return Whisper.from_source(str(folder), options)

    @pytest.fixture
    def items(self) -> list[Waveform]:
        return [clip(seconds=0.3), clip(1, 4.1, 8_000)]


def test_listing_the_encoders_loads_no_library_of_whisper() -> None:
    code = "import sys, mmmodal_audio_whisper as w; w.mmmodal_encoders(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "whisper", "numba", "tiktoken"}


def test_clip_without_samples_is_refused(folder: Path) -> None:
    with pytest.raises(MediaError, match="pass mono samples"):
        Whisper().preprocess(Waveform(np.zeros(0, np.float32), RATE))
    with pytest.raises(MediaError, match="pass mono samples"):
        Whisper().preprocess(Waveform(np.zeros((5, 2), np.float32), RATE))


def test_decoder_and_layers_above_the_selected_one_do_not_exist(folder: Path) -> None:
    tower = Whisper.from_source(str(folder), {}).build()
    names = list(tower.state_dict())
    assert not any("layers.2" in name or "decoder" in name for name in names)
    assert "layer_norm.weight" not in names
    assert any("layers.1" in name for name in names)


def test_positions_are_whispers_and_never_train(folder: Path) -> None:
    tower = Whisper.from_source(str(folder), {}).build()
    stored = load_file(folder / "model.safetensors")["model.encoder.embed_positions.weight"]
    assert torch.equal(tower.embed_positions.weight, stored)
    assert not tower.embed_positions.weight.requires_grad


def test_config_says_what_vllm_asks_of_audio(folder: Path) -> None:
    config = Whisper.from_source(str(folder), {}).tower_config
    assert config is not None
    assert config.max_source_positions == 100


def test_options_and_config_are_stable_over_reloads(folder: Path) -> None:
    first = Whisper.from_source(str(folder), {"select_layer": -3})
    second = Whisper(WhisperOptions(**first.options.model_dump()), first.tower_config)
    assert second.options.select_layer == -3
    assert len(second.build().layers) == 1


def test_missing_source_is_asked_for() -> None:
    with pytest.raises(PartError, match="'whisper' needs a source"):
        Whisper.from_source(None, {})
    with pytest.raises(PartError, match="without a source"):
        Whisper().build()


def test_layer_beyond_the_depth_is_refused(folder: Path) -> None:
    with pytest.raises(PartError, match="select_layer -4 does not fit the 3 layers"):
        Whisper.from_source(str(folder), {"select_layer": -4})


def test_sizes_that_the_weights_fix_cannot_be_set(folder: Path) -> None:
    with pytest.raises(PartError, match="num_mel_bins 80, which cannot be set to 128"):
        Whisper.from_source(str(folder), {"num_mel_bins": 128})


WIDTHS = {"tiny": 384, "base": 512, "small": 768, "medium": 1024, "large": 1280, "turbo": 1280}


def test_published_models_have_names_and_sources() -> None:
    sources = {encoder.name: encoder.source for encoder in mmmodal_encoders()}
    assert sources["whisper"] is None
    assert sources["whisper-small"] == "openai/whisper-small"
    assert sources["whisper-medium.en"] == "openai/whisper-medium.en"
    assert sources["whisper-large-v1"] == "openai/whisper-large"
    assert sources["whisper-turbo"] == "openai/whisper-large-v3-turbo"
    assert sources["malaysian-whisper-small"] == "mesolitica/malaysian-whisper-small"
    assert all(encoder.default_projector == "conv" for encoder in mmmodal_encoders())


def test_every_published_model_has_a_preset() -> None:
    sizes = ["tiny", "base", "small", "medium"]
    names = {f"whisper-{size}{kind}" for size in sizes for kind in ("", ".en")}
    names |= {"whisper-large-v1", "whisper-large-v2", "whisper-large-v3", "whisper-turbo"}
    assert names <= {preset.name for preset in PRESETS}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_preset_tells_what_its_encoder_is(preset: type[Whisper]) -> None:
    (width,) = {width for word, width in WIDTHS.items() if word in preset.name}
    licences = {
        "mesolitica": "NOASSERTION",
        "openai": "MIT" if "turbo" in preset.name else "Apache-2.0",
    }
    assert preset.source is not None
    assert preset.card == Card(width, 1500, "30 s", licences[preset.source.partition("/")[0]])


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_go_to_workers(preset: type[Whisper]) -> None:
    assert type(pickle.loads(pickle.dumps(preset()))) is preset


def test_preset_takes_another_source(folder: Path) -> None:
    assert PRESETS[0].from_source(str(folder), {}).width == 32
