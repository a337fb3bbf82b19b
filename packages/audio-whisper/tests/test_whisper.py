"""Whisper against transformers' and OpenAI's own, on tiny random weights in the true format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel

from mmmodal.contracts import Encoder
from mmmodal.errors import MediaError, PartError
from mmmodal.media.audio import Waveform
from mmmodal.testing import EncoderTests
from mmmodal_audio_whisper import Whisper, WhisperOptions, mmmodal_encoders
from mmmodal_playground.tiny import tiny_whisper

RATE = 16_000


def clip(seconds: float, rate: int = RATE, seed: int = 0) -> Waveform:
    """Return a chord with some noise."""
    samples = max(1, round(seconds * rate))
    time = np.arange(samples) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, samples)
    tones = sum(np.sin(2 * np.pi * tone * (1 + seed) * time) for tone in (110, 440, 1200))
    return Waveform((0.2 * tones + noise).astype(np.float32), rate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder that a test may damage."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def loaded(encoder: Encoder, source: Path) -> torch.nn.Module:
    tower = encoder.build().eval()
    tower.load_state_dict(dict(encoder.load(str(source))))
    return tower


def features(source: Path, clips: list[Waveform], **options: Any) -> list[Tensor]:
    encoder = Whisper.from_source(str(source), options)
    collated = encoder.collate([encoder.preprocess(one) for one in clips])
    with torch.no_grad():
        result: list[Tensor] = loaded(encoder, source)(**collated)
    return result


def hidden_states(source: Path, samples: Any) -> tuple[Tensor, ...]:
    """Return what transformers' encoder makes of one chunk: its states and the normalised last."""
    extractor = WhisperFeatureExtractor.from_pretrained(source)
    inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
    encoder = WhisperModel.from_pretrained(source).eval().encoder
    with torch.no_grad():
        states: tuple[Tensor, ...] = encoder(inputs, output_hidden_states=True).hidden_states
    return states


class TestWhisper(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Encoder:
        return Whisper.from_source(str(folder), {})

    @pytest.fixture
    def items(self) -> list[Waveform]:
        return [clip(0.3), clip(2.0, seed=1), clip(0.0), clip(5.1, seed=2), clip(0.7, 44_100, 3)]

    @pytest.fixture
    def bad_items(self) -> list[Any]:
        stereo = Waveform(np.zeros((5, 2), np.float32), RATE)
        return [None, "a.wav", np.zeros(5, np.float32), stereo]


class TestWhisperWithFullWindowsAndPostNorm(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Encoder:
        options = {"length": "full", "post_norm": True, "select_layer": -1}
        return Whisper.from_source(str(folder), options)

    @pytest.fixture
    def items(self) -> list[Waveform]:
        return [clip(0.3), clip(4.1, 8_000, seed=1)]


@pytest.mark.parametrize("layer", [-2, -3, 1])
def test_features_are_the_hidden_states_of_transformers(folder: Path, layer: int) -> None:
    sound = clip(2.0)
    (found,) = features(folder, [sound], select_layer=layer)
    expected = hidden_states(folder, sound.samples)[layer][0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_last_layer_with_post_norm_is_the_last_hidden_state(folder: Path) -> None:
    sound = clip(2.0)
    (found,) = features(folder, [sound], select_layer=-1, post_norm=True)
    expected = hidden_states(folder, sound.samples)[-1][0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_short_clip_keeps_the_positions_of_its_real_length(folder: Path) -> None:
    sound = clip(0.5)
    expected = hidden_states(folder, sound.samples)[-2][0]
    (trimmed,) = features(folder, [sound])
    (full,) = features(folder, [sound], length="full")
    assert (len(trimmed), len(full)) == (25, 100)
    torch.testing.assert_close(full, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(trimmed, expected[:25], rtol=1e-5, atol=1e-5)


def test_long_clip_is_its_windows_joined_in_order(folder: Path) -> None:
    sound = clip(5.0)
    chunks = [sound.samples[start : start + 2 * RATE] for start in range(0, 5 * RATE, 2 * RATE)]
    expected = torch.cat([hidden_states(folder, chunk)[-2][0] for chunk in chunks])
    (found,) = features(folder, [sound])
    assert len(found) == 250
    torch.testing.assert_close(found, expected[:250], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "length"),
    [(1, 1), (320, 1), (321, 2), (16_000, 50), (32_000, 100), (32_001, 101), (64_000, 200)],
)
def test_length_counts_positions_that_hold_sound(folder: Path, samples: int, length: int) -> None:
    encoder = Whisper.from_source(str(folder), {})
    sound = Waveform(np.ones(samples, np.float32), RATE)
    assert encoder.shape(encoder.preprocess(sound)) == (length,)


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [0.3, 7.0, 30.0])
def test_log_mel_is_that_of_openai_and_transformers(bands: int, seconds: float) -> None:
    whisper = pytest.importorskip("whisper")
    sound = clip(seconds)
    found = Whisper(WhisperOptions(num_mel_bins=bands)).preprocess(sound)["values"][0]
    assert found.shape == (bands, 3000)
    padded = whisper.pad_or_trim(sound.samples)
    torch.testing.assert_close(
        found, whisper.log_mel_spectrogram(padded, n_mels=bands), rtol=0, atol=1e-5
    )
    extractor = WhisperFeatureExtractor(feature_size=bands)
    expected = extractor(sound.samples, sampling_rate=RATE, return_tensors="pt").input_features[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_silence_has_a_spectrogram() -> None:
    found = Whisper().preprocess(Waveform(np.zeros(800, np.float32), RATE))["values"]
    assert found.isfinite().all()


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled(folder: Path, rate: int) -> None:
    encoder = Whisper.from_source(str(folder), {})
    time = np.arange(rate) / rate
    tone = Waveform(np.sin(2 * np.pi * 1000 * time).astype(np.float32), rate)
    found = encoder.preprocess(tone)
    assert encoder.shape(found) == (50,)
    time = np.arange(RATE) / RATE
    same = Waveform(np.sin(2 * np.pi * 1000 * time).astype(np.float32), RATE)
    expected = encoder.preprocess(same)["values"][0]
    middle = slice(10, 90)  # the ends ring
    loud = expected[:, middle] > expected.max() - 0.5
    assert (found["values"][0][:, middle] - expected[:, middle])[loud].abs().max() < 0.01


def test_clip_over_the_limit_is_refused(folder: Path) -> None:
    encoder = Whisper.from_source(str(folder), {"max_seconds": 3})
    with pytest.raises(MediaError, match=r"audio of 3\.5 s: at most 3\.0 s are encoded; cut it"):
        encoder.preprocess(clip(3.5))


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


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_backend_can_be_chosen(folder: Path, attention: str) -> None:
    encoder = Whisper.from_source(str(folder), {})
    tower = loaded(encoder, folder)
    inputs = encoder.collate([encoder.preprocess(clip(1.0))])
    expected = tower(**inputs)[0]
    tower.set_attn_implementation(attention)
    assert tower.config._attn_implementation == attention
    torch.testing.assert_close(tower(**inputs)[0], expected, rtol=1e-4, atol=1e-5)


def test_checkpoint_without_the_head_is_read(folder: Path, tmp_path: Path) -> None:
    WhisperModel.from_pretrained(folder).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes(
        (folder / "preprocessor_config.json").read_bytes()
    )
    assert torch.equal(features(tmp_path, [clip(1)])[0], features(folder, [clip(1)])[0])


def test_sharded_checkpoint_is_read(folder: Path, tmp_path: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert torch.equal(features(tmp_path, [clip(1)])[0], features(folder, [clip(1)])[0])


def test_options_and_config_are_stable_over_reloads(folder: Path) -> None:
    first = Whisper.from_source(str(folder), {"select_layer": -3})
    second = Whisper(WhisperOptions(**first.options.model_dump()), first.tower_config)
    assert second.options.select_layer == -3
    assert len(second.build().layers) == 1


def test_settings_of_the_feature_extractor_are_taken(copy: Path) -> None:
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_fft": 512}))
    assert Whisper.from_source(str(copy), {}).options.n_fft == 512


def test_published_models_have_names_and_sources() -> None:
    sources = {encoder.name: encoder.source for encoder in mmmodal_encoders()}
    assert sources["whisper"] is None
    assert sources["whisper-small"] == "openai/whisper-small"
    assert sources["whisper-turbo"] == "openai/whisper-large-v3-turbo"
    assert {"whisper-tiny", "whisper-base", "whisper-medium", "whisper-large-v3"} <= set(sources)
    assert all(encoder.default_projector == "conv" for encoder in mmmodal_encoders())


def test_preset_takes_another_source_and_goes_to_workers(folder: Path) -> None:
    import pickle

    preset = mmmodal_encoders()[1].from_source(str(folder), {})
    assert type(pickle.loads(pickle.dumps(preset))) is type(preset)


def test_missing_source_is_asked_for() -> None:
    with pytest.raises(PartError, match="'whisper' needs a source"):
        Whisper.from_source(None, {})
    with pytest.raises(PartError, match="without a source"):
        Whisper().build()


def test_config_of_another_model_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(PartError, match="'bert' model, not Whisper"):
        Whisper.from_source(str(copy), {})


def test_config_with_wrong_types_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "whisper", "d_model": "wide"}')
    with pytest.raises(PartError, match=r"no valid Whisper config: .*d_model"):
        Whisper.from_source(str(copy), {})


def test_layer_beyond_the_depth_is_refused(folder: Path) -> None:
    with pytest.raises(PartError, match="select_layer -4 does not fit the 3 layers"):
        Whisper.from_source(str(folder), {"select_layer": -4})


def test_sizes_that_the_weights_fix_cannot_be_set(folder: Path) -> None:
    with pytest.raises(PartError, match="num_mel_bins 80, which cannot be set to 128"):
        Whisper.from_source(str(folder), {"num_mel_bins": 128})


def test_missing_tensor_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.encoder.conv1.bias"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(PartError, match=r"'model\.encoder\.conv1\.bias' is missing"):
        dict(Whisper.from_source(str(copy), {}).load(str(copy)))


def test_missing_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(PartError, match=r"no model\.safetensors"):
        dict(Whisper.from_source(str(copy), {}).load(str(copy)))


def test_folder_has_nothing_to_download(folder: Path) -> None:
    assert not Whisper.from_source(str(folder), {}).download_size(str(folder))
