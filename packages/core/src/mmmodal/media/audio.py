"""Audio: any common format becomes one mono waveform of float32 samples."""

from __future__ import annotations

import operator
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from mmmodal.contracts.modality import Modality
from mmmodal.errors import MediaError
from mmmodal.media.limits import Limits
from mmmodal.media.reading import decoding, looks_like
from mmmodal.media.source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from soundfile import SoundFile

__all__ = ["Audio", "Waveform"]

KNOWN = "WAV, FLAC, MP3 or Ogg (Vorbis, Opus)"
MPEG_FRAME = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]")  # not AAC, which begins alike
OGG_STREAM = re.compile(
    rb"OggS\x00[\x02\x03\x06\x07].{20}\x01.(?:\x01vorbis|OpusHead|\x7fFLAC)", re.DOTALL
)
HEADS = re.compile(rb"(?:RIFF|RF64).{4}WAVE|fLaC|OggS|ID3|" + MPEG_FRAME.pattern, re.DOTALL)
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
CONVERT = "convert it, for example with `ffmpeg -i in.file out.flac`"
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000  # Hz
LOUDEST = 100.0  # full scale is 1; what exceeds it a hundredfold is integers or damage
BLOCK = 65_536  # samples per channel
UNKNOWN = 2**62  # samples; libsndfile says 2**63 - 1 of a FLAC stream that came from a pipe
UNKNOWN_RIFF = 2**31 - 2**20  # bytes; a WAV that came from a pipe promises about 2 or 4 GiB


@dataclass(frozen=True, eq=False)
class Waveform:
    """One mono clip; full scale is 1."""

    samples: NDArray[np.float32]  # [S]
    rate: int  # Hz

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


class Audio(Modality):
    """Recorded sound: speech, music or anything else."""

    name: ClassVar[str] = "audio"
    input_name: ClassVar[str] = "input_features"

    def read(self, source: Source, limits: Limits) -> Waveform:
        """Decode one clip and mix its channels to one by their mean."""
        damaged = decoding(source.origin, "the sound is damaged or cut off", "replace the file")
        with source.open(limits) as file, damaged, _open(file, source.origin) as sound:
            _check_header(sound, limits, source.origin)
            samples = _decode(sound, limits, source.origin)
            _check_complete(sound, file, len(samples), source.origin)
            return _checked(samples, sound.samplerate, source.origin)

    def convert(self, value: Any) -> Waveform:
        """Take a Waveform, or (samples, rate): a numpy array of floats, [S] or [S, channels]."""
        import numpy as np

        origin = f"audio given as {type(value).__name__}"
        match value:
            case Waveform():
                samples, rate = value.samples, value.rate
            case (np.ndarray() as samples, rate):
                pass
            case _:
                reason = "pass a path, bytes, a Waveform, or (numpy array of floats, rate in Hz)"
                raise MediaError("unsupported", origin, reason)
        if samples.dtype.kind != "f" or samples.ndim not in (1, 2):
            reason = f"{samples.dtype} {list(samples.shape)}; pass floats [S] or [S, channels], "
            raise MediaError("unsupported", origin, reason + "integers divided by full scale")
        try:
            rate = operator.index(rate)
        except TypeError:
            reason = f"its rate is {rate!r}; pass a whole number of Hz"
            raise MediaError("unsupported", origin, reason) from None
        samples = samples[:, None] if samples.ndim == 1 else samples
        _check_layout(samples.shape[1], rate, Limits(), origin)
        return _checked(_mix(samples), rate, origin)


def _open(file: BinaryIO, origin: str) -> SoundFile:
    import soundfile

    class Forward(soundfile.SoundFile):  # type: ignore[misc, unused-ignore]
        """Reads from start to end only."""

        def seekable(self) -> bool:
            # soundfile seeks after each block: MP3 comes out altered by that, and FLAC of
            # unknown length fails.
            return False

    head = file.read(64)
    file.seek(0)
    if not HEADS.match(head):
        reason = f"not {KNOWN}{looks_like(head)}; {CONVERT}"
        raise MediaError("format", origin, reason)
    sound = Forward(file)
    if sound.format not in FORMATS:
        raise MediaError("format", origin, f"{sound.format}, not {KNOWN}; {CONVERT}")
    return sound


def _check_header(sound: SoundFile, limits: Limits, origin: str) -> None:
    _check_layout(sound.channels, sound.samplerate, limits, origin)
    if sound.frames < UNKNOWN:
        _check_length(sound.frames, sound.samplerate, limits, origin)


def _check_layout(channels: int, rate: int, limits: Limits, origin: str) -> None:
    if not 1 <= channels <= limits.audio_channels:
        most = f"1 to {limits.audio_channels}"
        reason = f"{channels} channels, and {most} are read; mix it down or raise `audio_channels`"
        raise MediaError("too-large", origin, reason)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        most = f"{LOWEST_RATE:,} to {HIGHEST_RATE:,}"
        raise MediaError(
            "format", origin, f"a rate of {rate:,} Hz, and {most} are read; resample it"
        )


def _check_length(samples: int, rate: int, limits: Limits, origin: str) -> None:
    if samples / rate > limits.audio_seconds:
        found = f"{samples / rate:,.3f} s, and at most {limits.audio_seconds:,g} s are read"
        name = "audio_seconds"
    elif samples * 4 > limits.decoded_bytes:
        found = f"{samples:,} samples, and at most {limits.decoded_bytes // 4:,} are read"
        name = "decoded_bytes"
    else:
        return
    raise MediaError("too-large", origin, f"{found}; cut it into clips or raise `{name}`")


def _decode(sound: SoundFile, limits: Limits, origin: str) -> NDArray[np.float32]:
    import numpy as np

    blocks, total = [np.empty(0, np.float32)], 0
    while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):  # [S, channels]
        total += len(block)
        _check_length(total, sound.samplerate, limits, origin)
        blocks.append(_mix(block))
    return np.concatenate(blocks)


def _mix(samples: NDArray[Any]) -> NDArray[np.float32]:
    import numpy as np

    with np.errstate(all="ignore"):  # what overflows is found as not finite
        mixed: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    return mixed


def _check_complete(sound: SoundFile, file: BinaryIO, samples: int, origin: str) -> None:
    """Refuse a file that was cut off, or of which libsndfile leaves sound unread in silence.

    It takes what is left of a WAV or MP3, guesses the length of an MP3 of variable bit rate that
    does not tell it, and reads only the first of several files that were joined end to end.
    """
    goes_on = sound.format == "MP3" and MPEG_FRAME.match(file.read(4))
    file.seek(0)
    if sound.format == "OGG":
        goes_on = len(OGG_STREAM.findall(file.read())) > 1
    if goes_on:
        reason = f"sound goes on after the {samples:,} samples that its header promises; {CONVERT}"
        raise MediaError("unreadable", origin, reason)
    file.seek(0)
    head, size = file.read(28), file.seek(0, os.SEEK_END)
    length = {b"RIFF": head[4:8], b"RF64": head[20:28]}.get(head[:4], b"")
    promised = int.from_bytes(length, "little") + 8
    _check_promise(promised if promised < UNKNOWN_RIFF else 0, size, "bytes", origin)
    _check_promise(sound.frames if sound.frames < UNKNOWN else 0, samples, "samples", origin)


def _check_promise(promised: int, found: int, unit: str, origin: str) -> None:
    if promised - found > max(promised // 50, 4_096):  # estimates and tags are off by less
        reason = f"it ends after {found:,} of the {promised:,} {unit} its header promises"
        raise MediaError("unreadable", origin, f"{reason}; replace it or {CONVERT}")


def _checked(samples: NDArray[np.float32], rate: int, origin: str) -> Waveform:
    import numpy as np

    if not len(samples):
        raise MediaError("empty", origin, "it holds no samples; replace it")
    if not np.isfinite(samples).all():
        raise MediaError("not-finite", origin, "it holds samples that are not numbers; replace it")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        reason = f"samples reach {peak:,.6g}, and full scale is 1; divide by the full scale used"
        raise MediaError("out-of-range", origin, reason)
    return Waveform(samples, rate)
