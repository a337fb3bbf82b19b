"""Pictures, recordings and films as files of every supported container and codec."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import soundfile
from PIL import Image

__all__ = [
    "CLIPS",
    "RATE",
    "encode_picture",
    "encode_sound",
    "write_clip",
    "write_film",
    "write_sound",
    "write_to_pipe",
]

RATE = 48_000
# The name of each file in tests, the codec of its sound, and its container.
CLIPS = {
    "m4a-aac": ("aac", "ipod"),
    "m4a-alac": ("alac", "ipod"),
    "mp4-aac": ("aac", "mp4"),
    "mp4-opus": ("libopus", "mp4"),
    "mp4-flac": ("flac", "mp4"),
    "mp4-mp3": ("libmp3lame", "mp4"),
    "mov-pcm": ("pcm_s16be", "mov"),
    "mov-pcm24": ("pcm_s24le", "mov"),
    "webm-opus": ("libopus", "webm"),
    "webm-vorbis": ("vorbis", "webm"),
    "mkv-aac": ("aac", "matroska"),
    "mkv-mp3": ("libmp3lame", "matroska"),
    "mkv-flac": ("flac", "matroska"),
    "mkv-pcm": ("pcm_s16le", "matroska"),
    "adts-aac": ("aac", "adts"),
    "mp3": ("libmp3lame", "mp3"),
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1", 16: "hexadecagonal"}


def encode_picture(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return a picture encoded by Pillow; options are those of its format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def encode_sound(
    samples: np.ndarray,
    form: str = "WAV",
    subtype: str = "FLOAT",
    rate: int = 16_000,
    **options: Any,
) -> bytes:
    """Return samples [S] or [S, channels] encoded by libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype, **options)
    return buffer.getvalue()


def write_clip(
    samples: np.ndarray, name: str, rate: int = RATE, film: bool = False, **options: str
) -> bytes:
    """Return samples [S] or [S, channels] as `name` of CLIPS; with a picture track if `film`."""
    codec, container = CLIPS[name]
    return write_sound(samples, codec, container, rate, film, **options)


def write_sound(
    samples: np.ndarray,
    codec: str,
    container: str,
    rate: int = RATE,
    film: bool = False,
    **options: str,
) -> bytes:
    """Return samples [S] or [S, channels] with `codec` in `container`; options are libav's."""
    if codec == "vorbis":  # libav's encoder is poor, that of libsndfile is not
        return _remuxed(encode_sound(samples, "OGG", "VORBIS", rate), container)
    columns = samples[:, None] if samples.ndim == 1 else samples  # [S, channels]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        with av.open(str(path), "w", format=container, options=options) as out:
            picture: Any = out.add_stream("mpeg4", rate=10) if film else None
            if film:
                picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
            sound: Any = out.add_stream(codec, rate=rate, layout=LAYOUTS[columns.shape[1]])
            if film:
                _draw(out, picture, len(columns) / rate)
            for packet in _packets(sound, columns, rate):
                out.mux(packet)
        return path.read_bytes()


def write_to_pipe(samples: np.ndarray, codec: str, container: str, rate: int = RATE) -> bytes:
    """Return samples [S] or [S, channels] as libav writes them to a pipe, where it cannot go back."""
    columns = samples[:, None] if samples.ndim == 1 else samples  # [S, channels]
    pipe = _Pipe()
    with av.open(cast(Any, pipe), "w", format=container) as out:
        sound: Any = out.add_stream(codec, rate=rate, layout=LAYOUTS[columns.shape[1]])
        for packet in _packets(sound, columns, rate):
            out.mux(packet)
    return b"".join(pipe.written)


class _Pipe:
    """A file that is written from start to end only."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the data."""
        self.written.append(bytes(data))
        return len(data)


def write_film(seconds: float, container: str = "mp4") -> bytes:
    """Return a film without sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        picture: Any = out.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        _draw(out, picture, seconds)
    return buffer.getvalue()


def _packets(sound: Any, columns: np.ndarray, rate: int) -> list[Any]:
    packed = np.ascontiguousarray(columns.astype(np.float32)).reshape(1, -1)  # [1, S x channels]
    layout = LAYOUTS[columns.shape[1]]
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    form = sound.codec_context.codec.audio_formats[0].name
    resampler = av.AudioResampler(format=form, layout=layout, rate=rate)
    packets = []
    for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
        packets += sound.encode(piece)
    return packets


def _draw(out: Any, picture: Any, seconds: float) -> None:
    for number in range(round(seconds * 10)):
        pixels = np.full((32, 32, 3), number * 20 % 256, np.uint8)
        out.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    out.mux(picture.encode(None))


def _remuxed(data: bytes, container: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as source, av.open(buffer, "w", format=container) as out:
        stream = source.streams.audio[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    return buffer.getvalue()
