"""Every common recording becomes one mono waveform; anything else is one MediaError."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from media_files import encode_sound
from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.audio import Audio, AudioLimits, Waveform

LIMITS = AudioLimits(seconds=10)
RATE = 16_000
FORMS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def tone(seconds: float = 1.0, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def read(data: bytes | Path, limits: AudioLimits = LIMITS) -> Waveform:
    clip = read_media(Audio(), data, root=None, limits=limits)
    assert isinstance(clip, Waveform)
    assert clip.samples.dtype == np.float32
    assert clip.samples.ndim == 1
    assert np.isfinite(clip.samples).all()
    return clip


def refusal(data: bytes, limits: AudioLimits = LIMITS) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(data, limits)
    assert caught.value.origin == "bytes in memory"
    assert "0x" not in caught.value.reason
    assert "libsndfile" not in caught.value.reason.lower().replace("libsndfileerror", "")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def claim_flac_length(data: bytes, samples: int) -> bytes:
    """Return FLAC `data` with another number of samples in its header; 0 means unknown."""
    fields = int.from_bytes(data[18:26], "big")  # rate 20 bits, channels 3, depth 5, samples 36
    return data[:18] + (fields >> 36 << 36 | samples).to_bytes(8, "big") + data[26:]


@pytest.mark.parametrize(("form", "subtype"), FORMS)
def test_common_formats_are_read_from_bytes_and_files(
    form: str, subtype: str, tmp_path: Path
) -> None:
    data = encode_sound(tone(), form, subtype)
    (tmp_path / "clip.raw").write_bytes(data)  # the name says nothing, the content does
    clips = [read(data), read(tmp_path / "clip.raw")]
    assert np.array_equal(clips[0].samples, clips[1].samples)
    assert clips[0].rate == RATE
    assert clips[0].seconds == len(clips[0].samples) / RATE == pytest.approx(1, abs=0.01)
    spectrum = np.abs(np.fft.rfft(clips[0].samples[:RATE]))
    assert spectrum.argmax() == pytest.approx(440, abs=1)
    assert clips[0].samples.std() == pytest.approx(tone().std(), abs=0.01)


@pytest.mark.parametrize(("form", "subtype"), FORMS)
def test_long_recording_equals_the_one_decoded_in_one_piece(form: str, subtype: str) -> None:
    random = np.random.default_rng(0)
    data = encode_sound(
        (random.standard_normal(200_000) * 0.1).astype(np.float32), form, subtype, 48_000
    )
    whole, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    # MP3 is decoded by libav, and by libsndfile here; each rounds in its own way.
    assert np.allclose(read(data).samples, whole, rtol=0, atol=1e-5 if form == "MP3" else 0)


def test_channels_are_mixed_by_their_mean() -> None:
    samples = np.stack([tone(), np.zeros(RATE), -tone(), 2 * tone()], 1).astype(np.float32)
    mixed = read(encode_sound(samples)).samples
    assert np.allclose(mixed, tone() / 2, atol=1e-6)


def test_recording_of_one_sample_is_read() -> None:
    assert read(encode_sound(np.array([0.25], np.float32))).samples.tolist() == [0.25]


@pytest.mark.parametrize("channels", [1, 8])
def test_channels_pass_up_to_the_limit(channels: int) -> None:
    assert len(read(encode_sound(np.zeros((100, channels), np.float32))).samples) == 100


@pytest.mark.parametrize("channels", [9, 255])
def test_too_many_channels_are_refused(channels: int) -> None:
    error = refusal(encode_sound(np.zeros((100, channels), np.float32)))
    assert error.code == "too-large"
    assert f"{channels} channels, but 1 to 8 are accepted" in error.reason
    assert "`limits.audio.channels`" in error.reason


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_rates_pass_at_the_limits(rate: int) -> None:
    assert read(encode_sound(np.zeros(100, np.float32), rate=rate)).rate == rate


@pytest.mark.parametrize("rate", [8, 3_999, 384_001, 2**31 - 1])
def test_rates_beyond_the_limits_are_refused(rate: int) -> None:
    error = refusal(encode_sound(np.zeros(100, np.float32), rate=rate))
    assert error.code == "format"
    assert f"{rate:,} Hz" in error.reason


@pytest.fixture
def _undecodable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *a, **k: pytest.fail("was decoded"))


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
def test_recording_passes_at_the_limit_of_seconds(form: str) -> None:
    data = encode_sound(np.zeros(RATE // 4, np.float32), form, "PCM_16")
    assert read(data, AudioLimits(seconds=0.25)).seconds == 0.25


@pytest.mark.usefixtures("_undecodable")
@pytest.mark.parametrize("form", ["WAV", "FLAC"])
def test_one_sample_above_the_limit_of_seconds_is_refused_before_decoding(form: str) -> None:
    error = refusal(
        encode_sound(np.zeros(RATE // 4 + 1, np.float32), form, "PCM_16"),
        AudioLimits(seconds=0.25),
    )
    assert error.code == "too-large"
    assert "`limits.audio.seconds`" in error.reason


def test_decoded_bytes_pass_at_the_limit() -> None:
    assert (
        len(read(encode_sound(np.zeros(100, np.float32)), AudioLimits(decoded_bytes=400)).samples)
        == 100
    )


@pytest.mark.usefixtures("_undecodable")
def test_decoded_bytes_above_the_limit_are_refused_before_decoding() -> None:
    error = refusal(encode_sound(np.zeros(101, np.float32)), AudioLimits(decoded_bytes=400))
    assert error.code == "too-large"
    assert "101 samples exceed the limit of 100" in error.reason


@pytest.mark.usefixtures("_undecodable")
def test_hours_of_silence_in_a_small_file_are_refused_before_decoding() -> None:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", RATE, 1, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(20):
            sound.write(np.zeros(60 * RATE, np.int16))
    assert len(buffer.getvalue()) < 200_000
    error = refusal(buffer.getvalue(), AudioLimits())
    assert error.code == "too-large"
    assert "1,200.000 s exceed the limit of 600 s" in error.reason


@pytest.mark.usefixtures("_undecodable")
def test_header_that_claims_more_than_the_limit_is_refused_before_decoding() -> None:
    data = claim_flac_length(encode_sound(tone(), "FLAC", "PCM_16"), 2**35)
    assert refusal(data).code == "too-large"


def test_flac_of_unknown_length_is_read_to_its_end() -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 150_000).astype(np.float32)
    known = encode_sound(samples, "FLAC", "PCM_16")
    unknown = claim_flac_length(known, 0)  # as `ffmpeg -f flac -` writes to a pipe
    assert np.array_equal(read(unknown).samples, read(known).samples)


def test_flac_of_unknown_length_is_limited_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = claim_flac_length(encode_sound(np.zeros(60 * RATE, np.float32), "FLAC", "PCM_16"), 0)
    decoded = []
    original = soundfile.SoundFile.read

    def count(self: Any, *arguments: Any, **options: Any) -> Any:
        block = original(self, *arguments, **options)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", count)
    error = refusal(data, AudioLimits(seconds=10))
    assert error.code == "too-large"
    assert sum(decoded) <= 10 * RATE + 65_536


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_that_came_from_a_pipe_is_read(length: int) -> None:
    data = bytearray(encode_sound(tone(), "WAV", "PCM_16"))
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = struct.pack("<I", length)
    assert len(read(bytes(data)).samples) == RATE


@pytest.mark.parametrize(("form", "subtype"), FORMS)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated_recording_is_refused(form: str, subtype: str, part: float) -> None:
    data = encode_sound(np.random.default_rng(0).uniform(-0.5, 0.5, 80_000), form, subtype)
    assert refusal(data[: int(len(data) * part)]).code in ("unreadable", "empty")


def test_mp3_of_variable_bit_rate_without_its_length_is_read_whole() -> None:
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 48_000)
    for samples in ([loud, loud * 0], [loud * 0, loud]):
        mp3 = ("MP3", "MPEG_LAYER_III", 48_000)
        options = {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
        data = encode_sound(np.concatenate(samples), *mp3, **options)
        whole = read(data).samples
        assert len(whole) == 480_000
        assert data[21:25] == b"Xing", "the first frame holds the length"
        rest = read(data[data.index(data[:2], 4) :], AudioLimits()).samples
        assert 0 <= len(rest) - len(whole) < 3 * 1152, "the encoder's delay and padding are not cut"
        delay = 1105
        middle = slice(2_000, 470_000)  # the first frame lacks bits of one before
        assert np.allclose(rest[delay:][middle], whole[middle], atol=1e-5)


@pytest.mark.parametrize(("form", "subtype"), FORMS[-4:-1])
@pytest.mark.parametrize("seconds", [1, 4])
def test_files_joined_end_to_end_are_refused_not_cut(form: str, subtype: str, seconds: int) -> None:
    data = encode_sound(np.random.default_rng(0).uniform(-0.5, 0.5, seconds * RATE), form, subtype)
    assert len(read(data).samples) == seconds * RATE
    assert refusal(data + data).code == "unreadable"


@pytest.mark.parametrize("seconds", [1, 4])
def test_mp3_files_joined_end_to_end_are_read_to_the_end(seconds: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, seconds * RATE)
    data = encode_sound(noise, "MP3", "MPEG_LAYER_III")
    once, twice = read(data).samples, read(data + data).samples
    assert 0 <= len(twice) - 2 * len(once) < 5 * 576  # two delays, one frame that tells a length
    assert np.allclose(twice[: len(once) - 1_000], once[:-1_000], atol=1e-5)
    second = once[5_000:9_000]
    place = np.correlate(twice[len(once) :], second).argmax() + len(once)
    assert np.allclose(twice[place : place + 4_000], second, atol=1e-5)


def test_tags_around_an_mp3_do_not_matter() -> None:
    data = encode_sound(tone(8), "MP3", "MPEG_LAYER_III")
    before = b"ID3\4\0\0\0\0\0\x0a" + b"\0" * 10
    twice = before + before + b"\0" * 300
    after = b"APETAGEX" + b"\0" * 300 + b"TAG" + b"\0" * 125
    for tagged in (before + data, twice + data, data + after, before + data + after):
        assert np.array_equal(read(tagged).samples, read(data).samples)


def test_tag_before_a_flac_does_not_matter() -> None:
    data = encode_sound(tone(), "FLAC", "PCM_16")
    before = b"ID3\4\0\0\0\0\0\x0a" + b"\0" * 10
    assert np.array_equal(read(before + data).samples, read(data).samples)


@pytest.mark.parametrize(("form", "subtype"), [form for form in FORMS if form[0] == "OGG"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_ogg_that_is_cut_off_within_a_page_is_refused(form: str, subtype: str, part: float) -> None:
    data = encode_sound(np.random.default_rng(0).uniform(-0.5, 0.5, 80_000), form, subtype)
    error = refusal(data[: int(len(data) * part)])
    assert error.code == "unreadable"
    assert "cut off" in error.reason


@pytest.mark.parametrize(("form", "subtype"), [form for form in FORMS if form[0] == "OGG"])
def test_damaged_page_of_an_ogg_is_refused_not_skipped(form: str, subtype: str) -> None:
    data = bytearray(
        encode_sound(np.random.default_rng(0).uniform(-0.5, 0.5, 80_000), form, subtype)
    )
    data[len(data) // 2] ^= 1
    error = refusal(bytes(data))
    assert error.code == "unreadable"
    assert "is damaged" in error.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sample_that_is_no_number_is_refused(value: float) -> None:
    samples = tone()
    samples[1234] = value
    error = refusal(encode_sound(samples))
    assert error.code == "not-finite"


@pytest.mark.filterwarnings("error")
def test_sum_that_overflows_is_refused() -> None:
    samples = np.full((100, 8), 3e38, np.float32)
    assert refusal(encode_sound(samples)).code == "not-finite"


@pytest.mark.parametrize("peak", [1e30, 20_000.0])
def test_samples_far_beyond_full_scale_are_refused(peak: float) -> None:
    error = refusal(encode_sound(tone() * np.float32(peak)))
    assert error.code == "out-of-range"
    assert "full scale is 1" in error.reason


def test_samples_somewhat_above_full_scale_are_kept() -> None:
    assert np.abs(read(encode_sound(tone() * 5)).samples).max() > 2


def test_recording_without_samples_is_refused() -> None:
    for form, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16")):
        assert refusal(encode_sound(np.zeros(0, np.float32), form, subtype)).code == "empty"


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"#EXTM3U\nhttp://example.org/a.ts", "playlist"),
        (b"<!doctype html><p>404", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"FORM\0\0\0\0AIFFCOMM", ""),
        (b"MATLAB 5.0 MAT-file", ""),
        (b"ffconcat version 1.0\nfile /etc/passwd", ""),
        (b"x", ""),
    ],
)
def test_other_containers_are_refused_with_what_works(data: bytes, hint: str) -> None:
    error = refusal(data)
    assert error.code == "format"
    assert hint in error.reason
    assert "WAV, FLAC, Ogg (Vorbis, Opus, FLAC), MP4, M4A, MOV, WebM, Matroska" in error.reason
    assert "ffmpeg" in error.reason


def test_words_of_the_decoder_are_not_passed_on() -> None:
    error = refusal(b"fLaC" + b"\0" * 100)
    assert error.code == "unreadable"
    expected = "the sound is damaged or cut off (LibsndfileError); replace the file"
    assert error.reason == expected
