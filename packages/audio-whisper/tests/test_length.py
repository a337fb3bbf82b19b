"""How many positions and tokens a clip takes, and what becomes of long clips and other rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import mmmodal
from mmmodal.contracts.record import Record
from mmmodal.errors import MediaError, RecordError, RenderError
from mmmodal.making.composing import Part
from mmmodal.making.loading import load, save
from mmmodal.modalities.audio import Waveform
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.projectors.conv import Conv
from mmmodal.samples.collation import collate_media
from mmmodal.samples.dataset import prepare_record, record_length
from mmmodal_audio_whisper import Whisper, WhisperOptions
from whisper_models import encode, loaded
from worlds import RATE, clip, compose, record

WINDOW = 2 * RATE  # samples; of the tiny folder
RECORD = Record.model_validate(record("1", ("audio", "a.wav"), answer="silence"))


def positions(seconds: float, rate: int = RATE, **options: object) -> int:
    """Count the positions of a clip as a published model has them."""
    encoder = Whisper(WhisperOptions(**options))
    sound = Waveform(np.full(round(seconds * rate), 0.1, np.float32), rate)
    (found,) = encoder.shape(encoder.preprocess(sound))
    return found


def tokens(seconds: float, **options: object) -> int:
    return Conv().length((positions(seconds, **options),))


@pytest.fixture(scope="module")
def model(parts: dict[str, Path]) -> MMModalForConditionalGeneration:
    return compose(parts["llama"], parts, kinds=["audio"])


def test_a_clip_costs_what_it_lasts() -> None:
    assert positions(30) == 1500
    assert positions(2) == 1500 * 2 / 30
    assert positions(0.1) == 5
    assert (tokens(30), tokens(10), tokens(2), tokens(0.1)) == (487, 154, 21, 1)


@pytest.mark.parametrize("seconds", [0.1, 2, 30])
def test_full_length_is_the_papers_487_tokens(seconds: float) -> None:
    assert tokens(seconds, length="full") == 487


@pytest.mark.parametrize(
    ("samples", "length"),
    [(1, 1), (320, 1), (321, 2), (16_000, 50), (32_000, 100), (32_001, 101), (64_000, 200)],
)
def test_length_counts_positions_that_hold_sound(folder: Path, samples: int, length: int) -> None:
    encoder = Whisper.from_source(str(folder), {})
    sound = Waveform(np.ones(samples, np.float32), RATE)
    assert encoder.shape(encoder.preprocess(sound)) == (length,)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_rate_does_not_change_the_count(rate: int) -> None:
    assert positions(30, rate) == 1500
    assert positions(2, rate) == 100


def test_one_sample_at_a_high_rate_is_a_position() -> None:
    encoder = Whisper()
    features = encoder.preprocess(Waveform(np.ones(1, np.float32), 192_000))
    assert encoder.shape(features) == (1,)
    assert features["values"].isfinite().all()


def test_short_clip_is_encoded_in_its_window_and_its_padding_dropped(folder: Path) -> None:
    sound = clip(seconds=0.5)
    padded = Waveform(np.pad(sound.samples, (0, WINDOW - len(sound.samples))), RATE)
    (trimmed,), (full,) = encode(folder, [sound]), encode(folder, [sound], length="full")
    assert (len(trimmed), len(full)) == (25, 100)
    assert torch.equal(trimmed, encode(folder, [padded])[0][:25])
    assert torch.equal(full, encode(folder, [padded])[0])


def test_long_clip_is_its_windows_joined_in_order(folder: Path) -> None:
    sound = clip(seconds=6.0)
    starts = range(0, len(sound.samples), WINDOW)
    alone = [Waveform(sound.samples[start : start + WINDOW], RATE) for start in starts]
    expected = torch.cat([encode(folder, [one])[0] for one in alone])
    torch.testing.assert_close(encode(folder, [sound])[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seconds", [2.01, 5.0, 5.97])
def test_last_window_of_a_long_clip_ends_where_the_clip_does(folder: Path, seconds: float) -> None:
    sound = clip(seconds=seconds)
    (found,) = encode(folder, [sound])
    length = -(-len(sound.samples) // 320)
    assert len(found) == length
    end = np.zeros(WINDOW, np.float32)
    last = sound.samples[(length - 100) * 320 :]
    end[: len(last)] = last
    (expected,) = encode(folder, [Waveform(end, RATE)])
    rest = length % 100
    torch.testing.assert_close(found[-rest:], expected[-rest:], rtol=1e-5, atol=1e-5)


def test_full_length_keeps_the_padding_of_the_last_window(folder: Path) -> None:
    sound = clip(seconds=2.5)
    (found,) = encode(folder, [sound], length="full")
    (expected,) = encode(folder, [Waveform(sound.samples[WINDOW:], RATE)], length="full")
    assert len(found) == 200
    torch.testing.assert_close(found[100:], expected, rtol=1e-5, atol=1e-5)


def test_windows_of_all_clips_are_one_batch(folder: Path) -> None:
    encoder = Whisper.from_source(str(folder), {})
    clips = [clip(seconds=0.5), clip(1, 5.0), clip(2, 2.0)]
    collated = encoder.collate([encoder.preprocess(one) for one in clips])
    assert collated["values"].shape == (5, 80, 200)
    with torch.no_grad():
        together = loaded(encoder, folder)(**collated)
    for found, one in zip(together, clips, strict=True):
        torch.testing.assert_close(found, encode(folder, [one])[0], rtol=1e-5, atol=1e-5)


def test_ten_minutes_are_encoded_and_no_sample_more(folder: Path) -> None:
    assert positions(600) == 30_000
    sound = Waveform(np.zeros(600 * RATE + 1, np.float32), RATE)
    with pytest.raises(MediaError, match=r"9,600,001 samples.*limit of 600 s; .* `max_seconds`"):
        Whisper().preprocess(sound)
    with pytest.raises(MediaError, match=r"audio of 601\.00 s .*raise the encoder's `max_seconds`"):
        Whisper().preprocess(Waveform(np.zeros(601 * 8_000, np.float32), 8_000))
    (found,) = encode(folder, [Waveform(sound.samples[:-1], RATE)])
    assert found.shape == (30_000, 32)


def test_limit_can_be_set(folder: Path) -> None:
    encoder = Whisper.from_source(str(folder), {"max_seconds": 3})
    with pytest.raises(
        MediaError, match=r"audio of 3\.50 s .*: longer than the limit of 3 s; cut it"
    ):
        encoder.preprocess(clip(seconds=3.5))


def test_file_of_601_s_is_refused_with_the_option_that_lets_a_model_read_it(
    model: MMModalForConditionalGeneration, parts: dict[str, Path], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(601 * 8_000, np.int16), 8_000)
    reason = r"a\.wav: 601\.000 s exceed the limit of 600 s; .*an encoder's `max_seconds`"
    with pytest.raises(MediaError, match=reason):
        model.processor.read("audio", tmp_path / "a.wav")
    part = Part(name="whisper", source=str(parts["whisper"]), options={"max_seconds": 601})
    patient = compose(parts["llama"], parts, encoders={"audio": part}).processor
    assert patient.read("audio", tmp_path / "a.wav").seconds == 601
    assert len(prepare_record(patient.preparer, RECORD, "row 1", tmp_path).input_ids) > 10_000
    assert record_length(patient.preparer, RECORD, "row 1", tmp_path) > 10_000
    with pytest.raises(RecordError, match="row 1: .*exceed the limit of 600 s"):
        prepare_record(model.processor.preparer, RECORD, "row 1", tmp_path)


def test_projector_sees_no_padding(model: MMModalForConditionalGeneration) -> None:
    encoder, projector = model.model.encoders["audio"], model.model.projector("audio")
    clips = [clip(seconds=0.1), clip(1, 3.0), clip(2, 1.2)]
    prepared = [encoder.preprocess(one) for one in clips]
    inputs = encoder.collate(prepared)
    with torch.no_grad():
        features = model.model.tower("audio")(**inputs)
        found = model.get_audio_features(
            **collate_media(
                {"audio": prepared}, {"audio": encoder}, model.processor.preparer.modalities
            )
        )
        for one, projected in zip(
            features, found.pooler_output.split(list(found.lengths)), strict=True
        ):
            expected = projector(one[None], [(len(one),)])[0]
            torch.testing.assert_close(projected, expected, rtol=1e-5, atol=1e-5)
    assert list(found.lengths) == [1, 37, 7]


def test_a_tenth_of_a_second_is_answered(model: MMModalForConditionalGeneration) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=4)
    assert isinstance(chat.say("What is this?", audio=[clip(seconds=0.1)]), str)


def test_clip_beyond_the_context_is_refused_with_the_sum(
    model: MMModalForConditionalGeneration,
) -> None:
    chat = mmmodal.Chat(model)
    minutes = Waveform(np.zeros(600 * RATE, np.float32), RATE)
    reason = r"10,?\d{3} tokens with its media \(9987 slots\).*the model's context of 2048"
    with pytest.raises(RenderError, match=reason):
        chat.say("What is this?", audio=[minutes])


def test_model_that_was_saved_twice_hears_what_it_heard(
    model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    encoder, again = model.model.encoders["audio"], model
    for name in ("once", "twice"):
        save(again, tmp_path / name)
        again = load(tmp_path / name, device="cpu")
    assert again.model.encoders["audio"].options == encoder.options
    assert again.config.audio_config.encoder_layers == 2
    inputs = encoder.collate([encoder.preprocess(clip(seconds=3.0))])
    with torch.no_grad():
        (expected,), (found,) = (
            model.model.tower("audio")(**inputs),
            again.model.tower("audio")(**inputs),
        )
    assert torch.equal(found, expected)


def test_preset_with_options_composes(parts: dict[str, Path]) -> None:
    part = Part(name="whisper-tiny", source=str(parts["whisper"]), options={"length": "full"})
    model = compose(parts["llama"], parts, encoders={"audio": part})
    assert model.model.encoders["audio"].options.length == "full"


def tones(rate: int, frequencies: list[float], seconds: float = 1.0) -> NDArray[np.float64]:
    time = np.arange(round(rate * seconds)) / rate
    waves = [np.sin(2 * np.pi * f * time + i) for i, f in enumerate(frequencies)]
    return np.asarray(sum(waves) / len(waves))


def resampled(samples: NDArray[np.float64], rate: int) -> NDArray[np.float32]:
    return Whisper()._samples(Waveform(samples.astype(np.float32), rate))


def decibels(error: NDArray[np.float64], signal: NDArray[np.float64]) -> float:
    """Compare the middles; the ends of a tone that is cut off have no one true form."""
    middle = slice(len(signal) // 8, -len(signal) // 8)
    return float(10 * np.log10(np.mean(error[middle] ** 2) / np.mean(signal[middle] ** 2)))


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_the_band_to_60_decibels(rate: int) -> None:
    highest = 0.9 * min(rate, RATE) / 2
    frequencies = [100.0, 0.31 * highest, 0.77 * highest, highest]
    expected = tones(RATE, frequencies)
    found = resampled(tones(rate, frequencies), rate)
    assert len(found) == len(expected)
    assert decibels(found - expected, expected) < -60


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_resampling_removes_what_would_fold_back_to_60_decibels(rate: int) -> None:
    above = tones(rate, [8_400.0, 0.95 * rate / 2])
    found = resampled(above, rate)
    assert decibels(found, tones(RATE, [1_000.0])) < -60
