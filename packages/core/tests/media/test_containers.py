"""Sound in MP4, Matroska, MP3 and raw AAC is read whole; what is no sound is one MediaError."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from media_files import CLIPS, RATE, encode_sound, write_clip, write_film, write_sound
from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.audio import Audio, AudioLimits, Waveform

LIMITS = AudioLimits(seconds=10)
LOSSLESS = ("m4a-alac", "mp4-flac", "mov-pcm", "mov-pcm24", "mkv-flac", "mkv-pcm")
MARKS_PADDING = ("m4a-aac", "mp4-aac", "mp4-opus", "webm-opus", "mkv-mp3", "mp3")
CUTTABLE = [name for name in CLIPS if name != "mp3"]
FRAME = 1_024  # samples of AAC, and fewer than that of MP3


def sweep(seconds: float = 2.0137) -> np.ndarray:
    """A tone that rises, so that it agrees with itself at one place only."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * (200 * time + 400 * time**2 / seconds))).astype(np.float32)


def read(data: bytes | Path, limits: AudioLimits = LIMITS) -> Waveform:
    clip = read_media(Audio(), data, root=None, limits=limits)
    assert isinstance(clip, Waveform)
    assert clip.samples.dtype == np.float32
    assert np.isfinite(clip.samples).all()
    return clip


def refusal(data: bytes, limits: AudioLimits = LIMITS) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(data, limits)
    error = caught.value
    assert error.origin == "bytes in memory"
    assert not any(word in error.reason for word in ("0x", "libav", "avcodec", "[Errno", "none"))
    assert error.__suppress_context__ or error.__context__ is None
    return error


def boxes(data: bytes) -> dict[bytes, slice]:
    """Return where each top box of an MP4 lies."""
    found, place = {}, 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        found[data[place + 4 : place + 8]] = slice(place, place + size)
        place += size
    return found


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("channels", [1, 2])
def test_containers_are_read_from_bytes_and_files(name: str, channels: int, tmp_path: Path) -> None:
    given = sweep()
    data = write_clip(np.stack([given] * channels, 1), name)
    (tmp_path / "clip.raw").write_bytes(data)  # the name says nothing, the content does
    clips = [read(data), read(tmp_path / "clip.raw")]
    assert np.array_equal(clips[0].samples, clips[1].samples)
    assert clips[0].rate == RATE
    found = clips[0].samples[1_024:] if name == "adts-aac" else clips[0].samples
    assert abs(len(found) - len(given)) <= FRAME
    middle = slice(5_000, 90_000)
    assert np.corrcoef(found[middle], given[middle])[0, 1] > 0.99


@pytest.mark.parametrize("name", MARKS_PADDING)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.3333])
def test_delay_and_padding_of_the_encoder_are_left_out(name: str, seconds: float) -> None:
    given = sweep(seconds)
    found = read(write_clip(given, name)).samples
    assert abs(len(found) - len(given)) <= RATE // 1_000  # an MP4 counts milliseconds


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_sound_is_exact(name: str) -> None:
    given = sweep()
    found = read(write_clip(given, name)).samples
    assert len(found) == len(given)
    assert np.abs(found - given).max() <= 2 ** (-23 if name in ("m4a-alac", "mov-pcm24") else -16)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_alaw"])
def test_every_width_of_uncompressed_sound_is_scaled_alike(codec: str) -> None:
    container = "matroska" if codec == "pcm_u8" else "mov"
    found = read(write_sound(sweep(), codec, container)).samples
    assert np.allclose(found, sweep(), atol=0.02 if codec in ("pcm_u8", "pcm_alaw") else 2e-5)


@pytest.mark.parametrize(
    ("form", "subtype", "demuxer"),
    [
        ("WAV", "PCM_16", "wav"),
        ("WAV", "PCM_24", "wav"),
        ("WAV", "FLOAT", "wav"),
        ("FLAC", "PCM_16", "flac"),
        ("FLAC", "PCM_24", "flac"),
        ("OGG", "VORBIS", "ogg"),
        ("OGG", "OPUS", "ogg"),
        ("MP3", "MPEG_LAYER_III", "mp3"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_readers_agree_on_what_both_read(
    form: str, subtype: str, demuxer: str, channels: int
) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (60_000, channels))
    data = encode_sound(samples, form, subtype, RATE)
    by_libsndfile, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    with av.open(io.BytesIO(data), format=demuxer) as container:
        frames = [_floats(frame) for frame in container.decode(audio=0)]
    by_libav = np.concatenate(frames, axis=1).mean(axis=0)
    ours = read(data).samples
    expected = by_libsndfile.reshape(60_000, -1).mean(axis=1)
    exact = {"VORBIS": 1e-5, "OPUS": 1e-2, "MPEG_LAYER_III": 1e-5}.get(subtype, 1e-7)
    assert len(ours) == len(by_libav) == 60_000
    assert np.abs(ours - expected).max() <= exact
    assert np.abs(ours - by_libav).max() <= exact


def _floats(frame: Any) -> np.ndarray:
    resampler = av.AudioResampler(format="fltp")
    return np.concatenate([part.to_ndarray() for part in resampler.resample(frame)], axis=1)


@pytest.mark.parametrize("name", ["mp4-aac", "mp4-mp3", "mov-pcm", "mkv-aac", "mkv-flac"])
def test_sound_track_of_a_film_is_read(name: str) -> None:
    film = read(write_clip(sweep(), name, film=True)).samples
    assert np.array_equal(film, read(write_clip(sweep(), name)).samples)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_film_without_sound_is_refused(container: str) -> None:
    error = refusal(write_film(0.5, container))
    assert error.code == "no-sound"
    assert "only pictures" in error.reason


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_codec_that_is_not_allowed_is_refused(container: str) -> None:
    error = refusal(write_sound(sweep(), "ac3", container))
    assert error.code == "format"
    assert "its sound is ac3" in error.reason


def test_encrypted_sound_is_refused() -> None:
    key = {"encryption_key": "0" * 31 + "1", "encryption_kid": "0" * 31 + "2"}
    data = write_clip(sweep(), "mp4-aac", encryption_scheme="cenc-aes-ctr", **key)
    error = refusal(data)
    assert error.code == "format"
    assert "encrypted" in error.reason


@pytest.mark.parametrize("name", CUTTABLE)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_file_that_is_cut_off_is_refused(name: str, part: float) -> None:
    data = write_clip(sweep(), name)
    error = refusal(data[: int(len(data) * part)])
    assert error.code == "unreadable"
    assert "cut off" in error.reason


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_mp3_that_tells_its_size_is_refused_when_it_is_cut_off(part: float) -> None:
    data = write_clip(sweep(), "mp3")
    assert refusal(data[: int(len(data) * part)]).code == "unreadable"


@pytest.mark.parametrize(
    ("name", "told"), [(b"free", "within a box (free);"), (b"\0x\0\0", "a box;")]
)
def test_a_box_is_named_where_its_name_is_not_damaged(name: bytes, told: str) -> None:
    data = write_clip(sweep(), "m4a-aac") + b"\0\0\xff\xff" + name
    assert told in str(refusal(data))


def test_mp4_with_its_index_first_is_read_and_refused_when_cut_off() -> None:
    data = write_clip(sweep(), "mp4-aac", movflags="faststart")
    parts = boxes(data)
    assert parts[b"moov"].start < parts[b"mdat"].start
    assert np.array_equal(read(data).samples, read(write_clip(sweep(), "mp4-aac")).samples)
    assert "cut off" in refusal(data[:-10]).reason


def test_mp4_in_fragments_is_read_whole() -> None:
    given = sweep(9.5)
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "200000"}
    found = read(write_clip(given, "mp4-aac", **flags)).samples
    assert 0 <= len(found) - len(given) <= 3 * FRAME  # it has no list of edits
    assert np.corrcoef(found[FRAME:][5_000:400_000], given[5_000:400_000])[0, 1] > 0.99


@pytest.mark.parametrize("name", ["webm-opus", "mkv-aac"])
def test_live_recording_of_unknown_length_is_read_whole(name: str) -> None:
    given = sweep(9.5)
    data = write_clip(given, name, live="1")  # as MediaRecorder writes
    assert data[data.index(b"\x18\x53\x80\x67") + 4 :].startswith(b"\x01" + b"\xff" * 7)
    assert abs(len(read(data).samples) - len(given)) <= 2 * FRAME
    assert "cut off" in refusal(data[:-10]).reason


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_channels_are_mixed_by_their_mean(channels: int) -> None:
    samples = np.zeros((RATE, channels), np.float32)
    samples[:, 0] = sweep(1)
    found = read(write_sound(samples, "flac", "mp4")).samples
    assert np.allclose(found, sweep(1) / channels, atol=2**-15)
    planes = read(write_sound(samples, "aac", "mp4")).samples[: len(found)]
    assert np.corrcoef(planes[5_000:40_000], found[5_000:40_000])[0, 1] > 0.99
    assert planes.std() == pytest.approx(found.std(), rel=0.02)


@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_too_many_channels_are_refused(container: str) -> None:
    error = refusal(write_sound(np.zeros((RATE, 16), np.float32), "pcm_s16le", container))
    assert error.code == "too-large"
    assert "16 channels" in error.reason


@pytest.mark.parametrize("name", ["mp4-flac", "m4a-aac", "mkv-pcm", "webm-opus", "mp3"])
def test_recording_passes_at_the_limit_of_seconds(name: str) -> None:
    assert read(write_clip(sweep(1), name), AudioLimits(seconds=1.0)).seconds <= 1


@pytest.mark.parametrize("name", sorted(set(CLIPS) - {"mkv-aac", "webm-vorbis"}))
def test_recording_above_the_limit_of_seconds_is_refused(name: str) -> None:
    error = refusal(write_clip(sweep(1.05), name), AudioLimits(seconds=1.0))
    assert error.code == "too-large"
    assert "`limits.audio.seconds`" in error.reason


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_long_recording_is_refused_before_decoding(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_clip(sweep(3), name)
    monkeypatch.setattr(
        "mmmodal.modalities.sound.libav._floats", lambda _: pytest.fail("was decoded")
    )
    assert refusal(data, AudioLimits(seconds=1.0)).code == "too-large"


def test_rates_are_limited() -> None:
    assert read(write_sound(sweep(0.1), "pcm_s16le", "mov", rate=384_000)).rate == 384_000
    for rate in (3_999, 384_001):
        error = refusal(write_sound(sweep(0.1), "pcm_s16le", "matroska", rate=rate))
        assert error.code == "format"
        assert f"{rate:,} Hz" in error.reason


def claim(data: bytes, table: bytes, place: int, value: int) -> bytes:
    """Return an MP4 with another number in its first `table`, `place` bytes behind the type."""
    at = data.index(table) + 4 + place
    return data[:at] + struct.pack(">I", value) + data[at + 4 :]


def test_index_of_an_mp4_that_claims_millions_of_frames_is_refused() -> None:
    data = write_clip(sweep(), "mp4-aac")
    sized = claim(claim(data, b"stsz", 4, 1), b"stsz", 8, 50_000_000)
    fragments = write_clip(sweep(), "mp4-aac", movflags="frag_keyframe+empty_moov")
    for bomb in (
        sized,
        claim(data, b"stts", 8, 2**31),
        claim(fragments, b"trun", 4, 50_000_000),
        sized.replace(b"stbl", b"gmhd"),  # libav looks for tables in other boxes too
    ):
        error = refusal(bomb)
        assert error.code == "too-large"
        assert "its index has" in error.reason


def test_index_of_uncompressed_sound_may_count_every_sample() -> None:
    silence = np.zeros(600_000, np.float32)
    data = write_sound(silence, "pcm_s16le", "mov")
    assert struct.pack(">I", 600_000) in data[boxes(data)[b"moov"]]
    assert len(read(data, AudioLimits()).samples) == 600_000


def element(kind: bytes, content: bytes) -> bytes:
    return kind + (1 << 56 | len(content)).to_bytes(8, "big") + content


def test_matroska_of_millions_of_elements_is_refused() -> None:
    head = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"webm"))
    for kind, child in (
        (b"\x16\x54\xae\x6b", b"\xae\x80"),  # tracks
        (b"\x1c\x53\xbb\x6b", b"\xbb\x80"),  # cues
        (b"\x19\x41\xa4\x69", b"\x61\xa7\x80"),  # attachments
    ):
        error = refusal(head + element(b"\x18\x53\x80\x67", element(kind, child * 500_000)))
        assert error.code == "too-large"


def test_encrypted_matroska_is_refused() -> None:
    data = write_clip(sweep(), "webm-opus")
    encodings = element(b"\x6d\x80", element(b"\x62\x40", element(b"\x50\x35", b"")))
    place = data.index(b"\xae", data.rindex(b"\x16\x54\xae\x6b") + 4)
    error = refusal(data[:place] + element(b"\xae", encodings) + data[place:])
    assert error.code == "format"
    assert "encrypted" in error.reason


def test_nothing_but_the_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An MP4 may say that its sound lies in another file (`dref` without the self flag)."""
    secret = tmp_path / "secret.mov"
    secret.write_bytes(write_clip(sweep(), "mov-pcm"))
    monkeypatch.chdir(tmp_path)
    data = write_clip(sweep(), "mov-pcm")
    place = data.index(b"url \0\0\0\1")
    away = data[: place + 7] + b"\0" + data[place + 8 :]
    with_address = away.replace(b"url \0\0\0\0", b"alis\0\0\0\0")
    for variant in (away, with_address):
        before = len(list(Path("/proc/self/fd").iterdir()))
        with contextlib.suppress(MediaError):
            assert np.array_equal(read(variant).samples, read(data).samples)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'/>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        b"[playlist]\nFile1=http://127.0.0.1/a.mp3\n",
        b"RTJPEG" + b"\0" * 64,
    ],
)
def test_playlists_and_other_formats_of_libav_are_refused(data: bytes) -> None:
    assert refusal(data).code == "format"


def test_damaged_lossless_frame_is_refused_not_silenced() -> None:
    for name in ("mp4-flac", "mkv-flac"):
        data = bytearray(write_clip(sweep(), name))
        data[len(data) // 2] ^= 4
        assert refusal(bytes(data)).code == "unreadable"


def test_raw_aac_with_something_between_its_frames_is_refused() -> None:
    data = write_clip(sweep(), "adts-aac")
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    error = refusal(data[:size] + b"\0" * 50 + data[size:])
    assert error.code == "unreadable"
    assert f"damaged at byte {size:,}" in error.reason


def test_tag_before_raw_aac_does_not_matter() -> None:
    data = write_clip(sweep(), "adts-aac")
    before = b"ID3\4\0\0\0\0\0\x0a" + b"\0" * 10
    assert np.array_equal(read(before + data).samples, read(data).samples)


def test_decoder_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for name in CLIPS:
        data = bytearray(write_clip(sweep(), name))
        for place in range(100, len(data), max(len(data) // 20, 1)):
            data[place] ^= 0x55
        for variant in (bytes(data), write_clip(sweep(), name)[:-500]):
            try:
                read(variant)
            except MediaError as error:
                assert error.code
    assert capfd.readouterr() == ("", "")
