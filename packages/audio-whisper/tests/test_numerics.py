"""Spectrograms and features equal those of openai-whisper and transformers: 1e-5 in fp32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mmmodal.modalities.audio import Waveform
from mmmodal_audio_whisper import Whisper, WhisperOptions
from mmmodal_audio_whisper.sizes import SIZES, Size
from whisper_models import encode, openai_whisper, save_openai
from worlds import RATE, clip

# Windows of 30 s for one size are enough.
FAST = {"tiny": SIZES["tiny"], "base": replace(SIZES["base"], positions=150)}
EVERY_SHAPE = {size: name for name, size in reversed(SIZES.items())}
SLOW = [name for name in EVERY_SHAPE.values() if name not in FAST]


def openai_states(model: Any, samples: Any, bands: int) -> list[Tensor]:
    """Return what OpenAI's encoder makes of one chunk: after each layer, then normalised."""
    states: list[Tensor] = []
    for block in model.encoder.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: states.append(output))
    window = model.dims.n_audio_ctx * 2 * whisper.audio.HOP_LENGTH
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples, window), n_mels=bands)
    with torch.no_grad():
        states.append(model.encoder(mel[None]))
    return [state[0] for state in states]


def transformers_states(source: Path, samples: Any) -> tuple[Tensor, ...]:
    """Return what transformers' encoder makes of one chunk: its states and the normalised last."""
    extractor = WhisperFeatureExtractor.from_pretrained(source)
    inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
    encoder = WhisperModel.from_pretrained(source).eval().encoder
    with torch.no_grad():
        states: tuple[Tensor, ...] = encoder(inputs, output_hidden_states=True).hidden_states
    return states


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def assert_openais(size: Size, path: Path) -> None:
    """Compare ours with OpenAI's encoder, and transformers' with the weights that ours has."""
    model = openai_whisper(size)
    save_openai(model, path)
    sound = clip(seconds=size.positions / 50)
    expected = openai_states(model, sound.samples, size.mel_bins)
    assert expected[-1].shape == (size.positions, size.width)
    assert_equal(encode(path, [sound], select_layer=-2)[0], expected[-3])
    options = {"select_layer": -1, "post_norm": True}
    assert_equal(encode(path, [sound], **options)[0], expected[-1])
    encoder = Whisper.from_source(str(path), options)
    with torch.device("meta"):
        twin = WhisperEncoder(encoder.tower_config).eval()
    twin.load_state_dict(dict(encoder.load(str(path))), assign=True)
    with torch.no_grad():
        (found,) = twin(encoder.preprocess(sound)["values"]).last_hidden_state
    assert_equal(found, expected[-1])


@pytest.mark.parametrize("name", FAST)
def test_features_are_those_of_openais_encoder(name: str, tmp_path: Path) -> None:
    assert_openais(FAST[name], tmp_path / f"{name}.pt")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SLOW)
def test_features_of_every_size_are_those_of_openais_encoder(name: str, tmp_path: Path) -> None:
    assert_openais(replace(SIZES[name], positions=150), tmp_path / f"{name}.pt")


@pytest.mark.parametrize("name", FAST)
def test_features_are_those_of_transformers_encoder(name: str, tmp_path: Path) -> None:
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64}
    tokens = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    seconds = FAST[name].positions // 50
    config = FAST[name].config()
    for key, value in {**decoder, **tokens, "vocab_size": 64}.items():
        setattr(config, key, value)
    WhisperModel(config).save_pretrained(tmp_path)
    extractor = WhisperFeatureExtractor(config.num_mel_bins, chunk_length=seconds)
    extractor.save_pretrained(tmp_path)
    sound = clip(seconds=seconds)
    expected = transformers_states(tmp_path, sound.samples)
    assert_equal(encode(tmp_path, [sound], select_layer=-1, post_norm=True)[0], expected[-1][0])
    assert_equal(encode(tmp_path, [sound], select_layer=-2)[0], expected[-2][0])


@pytest.mark.parametrize("layer", [-2, -3, 1])
def test_features_are_the_hidden_states_of_transformers(folder: Path, layer: int) -> None:
    sound = clip(seconds=2.0)
    (found,) = encode(folder, [sound], select_layer=layer)
    assert_equal(found, transformers_states(folder, sound.samples)[layer][0])


@pytest.mark.parametrize("post_norm", [True, False])
def test_last_layer_is_normalised_where_asked(folder: Path, post_norm: bool) -> None:
    sound = clip(seconds=2.0)
    (found,) = encode(folder, [sound], select_layer=-1, post_norm=post_norm)
    normalised = transformers_states(folder, sound.samples)[-1][0]
    norm = WhisperModel.from_pretrained(folder).encoder.layer_norm
    assert_equal(found if post_norm else norm(found).detach(), normalised)


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 7.0, 30.0])
def test_log_mel_is_that_of_openai_and_transformers(bands: int, seconds: float) -> None:
    sound = clip(seconds=seconds)
    found = Whisper(WhisperOptions(num_mel_bins=bands)).preprocess(sound)["values"][0]
    assert found.shape == (bands, 3000)
    padded = whisper.pad_or_trim(sound.samples)
    expected = whisper.log_mel_spectrogram(padded, n_mels=bands)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    extractor = WhisperFeatureExtractor(feature_size=bands)
    expected = extractor(sound.samples, sampling_rate=RATE, return_tensors="pt").input_features[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 159, 200, 201, 479_599, 479_600, 479_601, 479_801, 479_999])
def test_log_mel_at_the_end_of_the_sound_is_openais(samples: int) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)
    found = Whisper().preprocess(Waveform(noise, RATE))["values"][0]
    expected = whisper.log_mel_spectrogram(whisper.pad_or_trim(noise))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_log_mel_of_loud_and_quiet_sounds_is_openais() -> None:
    rng = np.random.default_rng(0)
    for gain in (1e-8, 1e-4, 1.0):
        noise = (gain * rng.uniform(-1, 1, 5 * RATE)).astype(np.float32)
        found = Whisper().preprocess(Waveform(noise, RATE))["values"][0]
        expected = whisper.log_mel_spectrogram(whisper.pad_or_trim(noise))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_silence_has_a_spectrogram() -> None:
    found = Whisper().preprocess(Waveform(np.zeros(800, np.float32), RATE))["values"]
    assert found.isfinite().all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_backend_can_be_chosen(folder: Path, attention: str) -> None:
    encoder = Whisper.from_source(str(folder), {})
    tower = encoder.build().eval()
    inputs = encoder.collate([encoder.preprocess(clip(seconds=1.0))])
    expected = tower(**inputs)[0]
    tower.set_attn_implementation(attention)
    assert tower.config._attn_implementation == attention
    torch.testing.assert_close(tower(**inputs)[0], expected, rtol=1e-4, atol=1e-5)
