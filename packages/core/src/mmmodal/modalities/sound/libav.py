"""Decode with libav (PyAV) what libsndfile cannot, with as little of libav as possible.

Containers and codecs are allow-listed and never probed, and libav can open no other file: no
playlist, no URL, no second file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from mmmodal.errors import MediaError
from mmmodal.media.containers.cuts import CONVERT, check_whole
from mmmodal.modalities.sound.recording import AudioLimits, Sound, counted

if TYPE_CHECKING:
    import numpy as np
    from av import AudioFrame, AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

__all__ = ["CODECS", "open_libav"]

CODECS = (
    *("aac", "alac", "flac", "mp3float", "mp3", "mp2float", "mp2", "mp1float", "opus", "vorbis"),
    *("pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_s8", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "g722", "g726", "gsm", "gsm_ms"),
)
EXPLODE = "crccheck+bitstream+buffer+explode"  # raise an error for damaged data
PADDING = 4_096  # samples that a codec adds to fill its last frames
DRIFT = 50  # the clock of a container may be wrong by one sample in 50
ROUNDING = Fraction(1, 20)  # of a packet's length, which Matroska rounds to milliseconds

# PyAV searches for planes until one is zero, and after the eighth is other memory (18.1 crashes).
MOST_PLANES = 7

Demuxer = Literal["mov", "matroska", "mp3", "aac", "wav", "flac", "ogg"]


@contextmanager
def open_libav(
    file: BinaryIO, limits: AudioLimits, origin: str, *, demuxer: Demuxer
) -> Iterator[Sound]:
    """Open the sound track of `file`; of several tracks, the one that players choose.

    Raises:
        MediaError: the file has no sound, or its codec is not supported.
    """
    with _container(file, demuxer, origin) as container:
        stream = _track(container, origin)
        length = _length(container, stream, limits)
    # Rewinding would lose the number of leading samples to skip, which the start of a file holds.
    with _container(file, demuxer, origin) as container:
        stream = _track(container, origin)
        blocks = _blocks(container, stream, demuxer, origin)
        yield Sound(stream.codec_context.channels, stream.codec_context.sample_rate, length, blocks)


def _container(file: BinaryIO, demuxer: Demuxer, origin: str) -> InputContainer:
    import av

    def refuse(address: str, flags: int, options: dict[str, str]) -> Any:
        raise MediaError("format", origin, f"it refers to other files; {CONVERT}")

    file.seek(0)
    only = {
        "codec_whitelist": ",".join(CODECS),
        "format_whitelist": demuxer,
        "protocol_whitelist": "none",
    }
    return av.open(
        _Unnamed(file),
        "r",
        format=demuxer,
        container_options=only,
        metadata_errors="replace",
        io_open=refuse,
    )


class _Unnamed:
    """A file without a name and a descriptor, which libav can neither close nor write."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _track(container: InputContainer, origin: str) -> AudioStream:
    stream: Any = container.streams.best("audio")
    if stream is None:
        content = "only pictures" if container.streams.video else "no sound"
        raise MediaError("no-sound", origin, f"it holds {content}; give a file with a sound track")
    context = stream.codec_context
    if context is None or context.name not in CODECS:
        name = "an unknown codec" if context is None else f"{context.name}"
        raise MediaError("format", origin, f"its sound is {name}, which is unsupported; {CONVERT}")
    context.options = {"err_detect": EXPLODE}
    track: AudioStream = stream
    return track


def _length(container: InputContainer, stream: AudioStream, limits: AudioLimits) -> int:
    """Return the sum of the packets' lengths, without decoding or keeping packets."""
    tick = (stream.time_base or 0) * stream.codec_context.sample_rate * (1 - ROUNDING)
    found = (float((packet.duration or 0) * tick) for packet in container.demux(stream))
    most = limits.seconds * stream.codec_context.sample_rate + PADDING
    return max(int(counted(found, most)) - PADDING, 0)


def _blocks(
    container: InputContainer, stream: AudioStream, demuxer: Demuxer, origin: str
) -> Iterator[NDArray[np.floating[Any]]]:
    blocks = _decoded(container, stream, origin)
    promised = _promised(stream) if demuxer == "mov" else None
    return blocks if promised is None else _without_padding(blocks, promised, origin)


def _decoded(
    container: InputContainer, stream: AudioStream, origin: str
) -> Iterator[NDArray[np.floating[Any]]]:
    rate = stream.codec_context.sample_rate
    for frame in container.decode(stream):
        if frame.sample_rate != rate:
            reason = f"its rate changes from {rate:,} to {frame.sample_rate:,} Hz; {CONVERT}"
            raise MediaError("unreadable", origin, reason)
        yield _floats(frame)


def _without_padding(
    blocks: Iterator[NDArray[np.floating[Any]]], promised: int, origin: str
) -> Iterator[NDArray[np.floating[Any]]]:
    """Yield blocks without the padding of an MP4's last frames, which its header does not count.

    The header of a fragmented file may count the first fragments only: if more than padding
    follows, it is sound.
    """
    found, over = 0, []
    for block in blocks:
        left = max(promised - found, 0)
        found += len(block)
        yield block[:left]
        over.append(block[left:])
        if found - promised > PADDING:
            yield from over
            over, promised = [], sys.maxsize
    if promised < sys.maxsize:
        slack = PADDING // 4 + promised // DRIFT
        check_whole(promised, found, slack, "samples", origin)


def _promised(stream: AudioStream) -> int | None:
    if not stream.duration or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * stream.codec_context.sample_rate)


def _floats(frame: AudioFrame) -> NDArray[np.floating[Any]]:
    import numpy as np

    if frame.format.is_planar and frame.layout.nb_channels > MOST_PLANES:
        frame = _packed(frame)
    values: NDArray[Any] = frame.to_ndarray()  # [channels, S], or packed [1, S x channels]
    if frame.format.is_planar:
        values = values.T
    values = values.reshape(frame.samples, -1)  # [S, channels]
    if values.dtype.kind == "f":
        return values
    full = np.float32(2 ** (8 * values.dtype.itemsize - 1))
    floats: NDArray[np.float32] = values.astype(np.float32)
    return (floats - full if values.dtype.kind == "u" else floats) / full


def _packed(frame: AudioFrame) -> AudioFrame:
    import av

    resampler = av.AudioResampler(format="flt")
    (packed,) = resampler.resample(frame)
    return packed
