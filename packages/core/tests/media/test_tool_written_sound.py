"""Sound as tools and pipes write it is read whole; what is cut off is refused at any byte."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from media_files import encode_sound, write_sound, write_to_pipe
from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.media.containers.ogg import CHECKSUM, Page
from mmmodal.modalities.audio import Audio, AudioLimits, Waveform

RATE = 16_000
TIME = np.arange(20_123) / RATE
SOUND = (0.4 * np.sin(2 * np.pi * (200 * TIME + 300 * TIME**2))).astype(np.float32)
FRAME = 2_048  # samples, at most, of any codec here


def read(data: bytes) -> Waveform:
    clip = read_media(Audio(), data, root=None, limits=AudioLimits(seconds=10))
    assert isinstance(clip, Waveform)
    return clip


def is_whole(clip: Waveform) -> bool:
    """Return whether a clip is SOUND, up to a frame of delay and of padding."""
    found = clip.samples[:: clip.rate // RATE]  # Opus may be decoded at 48 kHz
    if not -RATE // 1_000 <= len(found) - len(SOUND) <= 2 * FRAME:  # an MP4 counts milliseconds
        return False
    shift = int(np.correlate(found[: 4_000 + 2 * FRAME], SOUND[:4_000]).argmax())
    last = slice(len(SOUND) - 4_000, len(SOUND) - 100)
    return bool(np.corrcoef(found[shift:][last], SOUND[last])[0, 1] > 0.97)


def chunks(data: bytes, order: str = "<", first: int = 12) -> dict[bytes, int]:
    """Return where the content of each chunk of a WAV or AIFF begins."""
    found, place = {}, first
    while place + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, place)
        found[name] = place + 8
        place += 8 + size + (size & 1)
    return found


def sized(data: bytes, outer: int, inner: int, order: str = "<") -> bytes:
    """Return a WAV or AIFF with other sizes in its header."""
    at = chunks(data, order)[b"data" if order == "<" else b"SSND"] - 4
    size, of_file = struct.pack(f"{order}I", inner), struct.pack(f"{order}I", outer)
    return data[:4] + of_file + data[8:at] + size + data[at + 4 :]


def pcm() -> bytes:
    return encode_sound(SOUND, "WAV", "PCM_16")


def with_codec(codec: int, body: bytes, align: int = 1) -> bytes:
    """Return a WAV of any codec."""
    about = struct.pack("<HHIIHH", codec, 1, RATE, 2_000, align, 0)
    inner = b"WAVE" + chunk(b"fmt ", about) + chunk(b"data", body)
    return chunk(b"RIFF", inner)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def wide(magic: bytes, size: int | None = None) -> bytes:
    """Return an RF64 or BW64 file, whose sizes are in a chunk of their own."""
    data = pcm()
    at = chunks(data)[b"data"]
    body = data[at:]
    told = len(body) if size is None else size
    large = struct.pack("<QQQI", len(data) + 36, told, len(body) // 2, 0)
    ff = b"\xff" * 4
    rest = chunk(b"ds64", large) + data[12 : at - 8] + b"data" + ff + body
    return magic + ff + b"WAVE" + rest


def sealed(head: bytearray, rest: bytes) -> bytes:
    """Return a page of Ogg with its checksum."""
    head[CHECKSUM] = Page(bytes(head), rest).checksum
    return bytes(head) + rest


def without_end(data: bytes) -> bytes:
    """Return an Ogg file whose last page does not say so, as of a stream that is recorded."""
    place = data.rindex(b"OggS")
    head = bytearray(data[place : place + 27])
    head[5] &= ~4
    return data[:place] + sealed(head, data[place + 27 :])


def later(data: bytes, seconds: int = 100) -> bytes:
    """Return an Ogg file that begins in the middle of a stream, as a station's."""
    found, place = b"", 0
    while place < len(data):
        lengths = data[place + 27 : place + 27 + data[place + 26]]
        end = place + 27 + len(lengths) + sum(lengths)
        head = bytearray(data[place : place + 27])
        time = int.from_bytes(head[6:14], "little", signed=True)
        if time > 0:
            head[6:14] = (time + seconds * 48_000).to_bytes(8, "little")
        found += sealed(head, data[place + 27 : end])
        place = end
    return found


def adts() -> bytes:
    return write_sound(SOUND, "aac", "adts", RATE)


def mp3() -> bytes:
    return write_sound(SOUND, "libmp3lame", "mp3", RATE)


def mp3_frames() -> bytes:
    return write_sound(SOUND, "libmp3lame", "mp3", RATE, id3v2_version="0", write_xing="0")


def xing(data: bytes, frames: int = 0, size: int = 0) -> bytes:
    """Return an MP3 whose first frame counts more frames and bytes than there are."""
    at = next(data.index(name) for name in (b"Info", b"Xing") if name in data[:200]) + 8
    counts = [
        a + b for a, b in zip(struct.unpack_from(">II", data, at), (frames, size), strict=True)
    ]
    return data[:at] + struct.pack(">II", *counts) + data[at + 8 :]


def au(size: int | None = None) -> bytes:
    data = encode_sound(SOUND, "AU", "PCM_16")
    return data if size is None else data[:8] + struct.pack(">I", size) + data[12:]


def caf(size: int | None = None) -> bytes:
    data = write_sound(SOUND, "pcm_s16le", "caf", RATE)
    at = data.index(b"data") + 4
    return data if size is None else data[:at] + struct.pack(">q", size) + data[at + 8 :]


WHOLE: dict[str, Callable[[], bytes]] = {
    **{
        f"{codec} in WAV": lambda codec=codec: write_sound(SOUND, codec, "wav", RATE)
        for codec in ("libmp3lame", "mp2", "flac", "adpcm_ms", "adpcm_ima_wav", "g722", "pcm_mulaw")
    },
    **{
        f"{codec} in WAV to a pipe": lambda codec=codec: write_to_pipe(SOUND, codec, "wav", RATE)
        for codec in ("libmp3lame", "adpcm_ms", "adpcm_ima_wav", "pcm_alaw", "pcm_s16le", "flac")
    },
    **{
        f"{subtype} in WAV": lambda subtype=subtype: encode_sound(SOUND, "WAV", subtype, RATE)
        for subtype in ("GSM610", "MS_ADPCM", "IMA_ADPCM", "ULAW", "ALAW", "PCM_24", "DOUBLE")
    },
    "AAC frames in WAV": lambda: with_codec(0x1600, adts()),
    "MP3 in WAV of blocks of a byte": lambda: with_codec(0x55, mp3_frames()),
    "MP3 in WAV whose header says too much by less than a frame": lambda: sized(
        with_codec(0x55, mp3_frames()), 0, len(mp3_frames()) + 100
    ),
    "WAV without sizes": lambda: sized(pcm(), 0, 0),
    "WAV of the sizes of ffmpeg": lambda: sized(pcm(), 2**32 - 1, 2**32 - 1),
    "WAV of the sizes of sox": lambda: sized(pcm(), 0x7FFFF024, 0x7FFFF000),
    "WAV of other sizes of sox": lambda: sized(pcm(), 2**31 - 1, 0x7FFFFFFF - 36),
    "WAV of 2 GiB": lambda: sized(pcm(), 2**31 + 36, 2**31),
    "WAV whose sizes were never filled in": lambda: sized(pcm(), 36, 0),
    "WAV with a size of the file alone": lambda: sized(pcm(), len(pcm()) - 8, 0),
    "WAV with a size of the sound alone": lambda: sized(pcm(), 0, 2 * len(SOUND)),
    "WAV with a size that counts its header": lambda: sized(pcm(), len(pcm()), 2 * len(SOUND)),
    "WAV that says a byte too much": lambda: sized(pcm(), 0, 2 * len(SOUND) + 1),
    "WAV with more behind the sound": lambda: pcm() + chunk(b"LIST", b"INFO" * 9),
    "WAV whose last chunk is cut off": lambda: pcm() + chunk(b"LIST", b"INFO" * 9)[:-5],
    "RF64": lambda: wide(b"RF64"),
    "RF64 without a size": lambda: wide(b"RF64", 0),
    "BW64": lambda: wide(b"BW64"),
    "BW64 without a size": lambda: wide(b"BW64", 2**64 - 1),
    "FLAC to a pipe": lambda: write_to_pipe(SOUND, "flac", "flac", RATE),
    "Ogg Vorbis without an end": lambda: without_end(encode_sound(SOUND, "OGG", "VORBIS")),
    "Ogg Opus without an end": lambda: without_end(encode_sound(SOUND, "OGG", "OPUS")),
    "Ogg Opus of a station": lambda: without_end(later(encode_sound(SOUND, "OGG", "OPUS"))),
    "Ogg FLAC": lambda: write_sound(SOUND, "flac", "ogg", RATE),
    "Ogg FLAC to a pipe": lambda: write_to_pipe(SOUND, "flac", "ogg", RATE),
    "MP3 to a pipe": lambda: write_to_pipe(SOUND, "libmp3lame", "mp3", RATE),
    "MP3 that says too many frames": lambda: xing(mp3(), frames=1),
    "MP3 that says a few bytes too much": lambda: xing(mp3(), size=100),
    "MP3 that counts a tag that is gone": lambda: xing(mp3(), size=5_000),
    "MP3 without a length": mp3_frames,
    "MP3 in MP4": lambda: write_sound(SOUND, "libmp3lame", "mp4", RATE),
    "MP3 in Matroska": lambda: write_sound(SOUND, "libmp3lame", "matroska", RATE),
    "MP4 with a line break behind it": lambda: write_sound(SOUND, "aac", "mp4", RATE) + b"\n",
    "MP4 with zeros behind it": lambda: write_sound(SOUND, "aac", "mp4", RATE) + bytes(100),
    "Matroska with zeros behind it": lambda: (
        write_sound(SOUND, "flac", "matroska", RATE) + bytes(9)
    ),
    "IMA ADPCM in MOV": lambda: write_sound(SOUND, "adpcm_ima_qt", "mov", RATE),
    "AAC to a pipe": lambda: write_to_pipe(SOUND, "aac", "adts", RATE),
    "AIFF": lambda: encode_sound(SOUND, "AIFF", "PCM_16"),
    "AIFF-C of floats": lambda: encode_sound(SOUND, "AIFF", "FLOAT"),
    "AIFF-C of A-law": lambda: encode_sound(SOUND, "AIFF", "ALAW"),
    "AIFF-C of IMA ADPCM": lambda: write_sound(SOUND, "adpcm_ima_qt", "aiff", RATE),
    "AIFF to a pipe": lambda: write_to_pipe(SOUND, "pcm_s16be", "aiff", RATE),
    "AIFF without sizes": lambda: sized(encode_sound(SOUND, "AIFF", "PCM_16"), 0, 0, ">"),
    "AU": au,
    "AU of an unknown size": lambda: au(2**32 - 1),
    "AU that says a byte too much": lambda: au(2 * len(SOUND) + 1),
    "AU to a pipe": lambda: write_to_pipe(SOUND, "pcm_mulaw", "au", RATE),
    "CAF": caf,
    "CAF of an unknown size": lambda: caf(-1),
    "CAF to a pipe": lambda: write_to_pipe(SOUND, "pcm_s16le", "caf", RATE),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_tools_write_is_read_whole(name: str) -> None:
    assert is_whole(read(WHOLE[name]()))


# The header tells the length, so that every byte that is missing is seen.
CUT = {
    name: WHOLE[name]
    for name in (
        *("libmp3lame in WAV", "flac in WAV", "adpcm_ms in WAV", "GSM610 in WAV", "ULAW in WAV"),
        *("MP3 in WAV of blocks of a byte", "AAC frames in WAV", "RF64", "BW64", "PCM_24 in WAV"),
        *("WAV with a size of the sound alone", "WAV with a size of the file alone", "AIFF"),
        *("AIFF-C of floats", "AIFF-C of IMA ADPCM", "AU", "CAF", "Ogg FLAC"),
        *("Ogg Opus without an end", "MP3 in MP4", "MP3 in Matroska"),
    )
}
CUT["MP3"] = mp3
CUT["WAV"] = pcm
CUT["FLAC to a pipe"] = WHOLE["FLAC to a pipe"]
CUT["MP3 that says a few bytes too much"] = WHOLE["MP3 that says a few bytes too much"]


@pytest.mark.parametrize("name", CUT)
def test_what_is_cut_off_is_refused_at_any_byte(name: str) -> None:
    data = CUT[name]()
    least = 1 + (data[:4] == b"RIFF" and data.endswith(b"\0"))  # the last byte may be padding
    if name == "WAV with a size of the file alone":
        least = 17  # writers count this size in several ways
    steps = {*range(least, 40), *range(40, 700, 37), *range(700, len(data), 1_999)}
    for missing in sorted(steps):
        with pytest.raises(MediaError) as caught:
            read(data[:-missing])
        assert caught.value.code in ("unreadable", "format", "empty"), missing


@pytest.mark.parametrize(
    "name", ["libmp3lame in WAV to a pipe", "WAV without sizes", "AU to a pipe"]
)
def test_sound_of_unknown_length_ends_where_the_file_does(name: str) -> None:
    data = WHOLE[name]()
    assert 0 < len(read(data[: len(data) // 2]).samples) < len(SOUND)


def test_wav_without_sound_is_empty_whatever_follows() -> None:
    empty = encode_sound(SOUND[:0], "WAV", "PCM_16")
    for data in (empty, empty + chunk(b"LIST", b"INFO" * 9)):
        with pytest.raises(MediaError) as caught:
            read(data)
        assert caught.value.code == "empty"


def test_codec_in_a_wav_that_is_not_allowed_is_refused_by_its_name() -> None:
    with pytest.raises(MediaError, match="its sound is ac3, which is unsupported") as caught:
        read(write_sound(np.tile(SOUND, 3), "ac3", "wav", 48_000))
    assert caught.value.code == "format"


def test_codec_in_a_caf_whose_end_would_be_lost_is_refused() -> None:
    with pytest.raises(MediaError, match="its sound is alac, which is unsupported"):
        read(write_sound(SOUND, "alac", "caf", RATE))


def test_length_of_a_wav_is_limited_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    long = {
        "mp3": write_sound(np.tile(SOUND, 9), "libmp3lame", "wav", RATE),
        "flac": write_to_pipe(np.tile(SOUND, 9), "flac", "flac", RATE),
    }
    where = "mmmodal.modalities.sound.libav._floats"
    monkeypatch.setattr(where, lambda _: pytest.fail("was decoded"))
    for data in long.values():
        with pytest.raises(MediaError) as caught:
            read(data)
        assert caught.value.code == "too-large"
