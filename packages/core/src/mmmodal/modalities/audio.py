"""Audio: decode any common format to one mono waveform of float32 samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.contracts.modality import Modality
from mmmodal.errors import MediaError
from mmmodal.media.limits import Limits
from mmmodal.media.reading import decoding
from mmmodal.media.source import Source
from mmmodal.modalities.arrays import is_number, numpy_array
from mmmodal.modalities.sound.objects import as_recording
from mmmodal.modalities.sound.recording import AudioLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmmodal.modalities.sound.recording import Sound

__all__ = ["Audio", "AudioLimits", "Waveform"]

ENDINGS = (
    *(".aac", ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3", ".mp4"),
    *(".oga", ".ogg", ".opus", ".wav", ".webm"),
)
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000  # Hz
LOUDEST = 100.0  # full scale is 1; samples above 100 are integers or damaged


@dataclass(frozen=True, eq=False)
class Waveform:
    """One mono clip; full scale is 1."""

    samples: NDArray[np.float32]  # [S]
    rate: int  # Hz

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return len(self.samples) / self.rate


class Audio(Modality[AudioLimits]):
    """Recorded sound: speech, music or anything else."""

    name: ClassVar[str] = "audio"
    input_name: ClassVar[str] = "input_features"
    endings: ClassVar[tuple[str, ...]] = ENDINGS
    feature: ClassVar[str] = "Audio"
    Limits: ClassVar[type[Limits]] = AudioLimits

    def read(self, source: Source, limits: AudioLimits) -> Waveform:
        """Return one decoded clip; its channels are mixed to one by their mean."""
        from mmmodal.modalities.sound.forms import open_sound

        origin = source.origin
        damaged = decoding(origin, "the sound is damaged or cut off", "replace the file")
        with source.open(limits) as file, damaged, open_sound(file, limits, origin) as sound:
            _check_layout(sound.channels, sound.rate, limits, origin)
            _check_length(sound.samples, sound.rate, limits, origin)
            return _checked(_decode(sound, limits, origin), sound.rate, origin)

    def convert(self, value: Any) -> Waveform:
        """Return a Waveform of one, or of samples with their rate.

        `(samples, rate)`, `(rate, samples)` and `{"array": …, "sampling_rate": …}` are accepted;
        samples are arrays of numpy or torch, or lists: [S], [S, channels] or [channels, S], floats
        with a full scale of 1, or int16, int32 or uint8.
        """
        origin = f"audio given as {type(value).__name__}"
        given = (value.samples, value.rate) if isinstance(value, Waveform) else value
        samples, rate = as_recording(given, AudioLimits().channels, origin)  # [S, channels]
        _check_layout(samples.shape[1], rate, AudioLimits(), origin)
        return _checked(_mix(samples), rate, origin)

    def items(self, given: Any) -> list[Any]:
        """Return the clips of an argument; a list that holds a number is a single one."""
        if isinstance(given, list | tuple) and any(map(is_number, given)):
            return [given]
        return super().items(given)

    def complete(self, value: Any, example: Callable[[], Any]) -> Any:
        """Return an array of samples with the rate of the encoder's example, and warn."""
        rate = getattr(example(), "rate", None) if _is_bare(value) else None
        if rate is None:
            return value
        assumed = f"samples without a rate are taken to have the encoder's, {rate:,} Hz"
        warnings.warn(f"{assumed}; pass (samples, rate in Hz) to be sure", stacklevel=2)
        return value, rate


def _is_bare(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return not is_pair and numpy_array(value) is not None


def _check_layout(channels: int, rate: int, limits: AudioLimits, origin: str) -> None:
    if not 1 <= channels <= limits.channels:
        most = f"1 to {limits.channels}"
        todo = "mix it down or raise `limits.audio.channels`"
        reason = f"{channels} channels, but {most} are accepted; {todo}"
        raise MediaError("too-large", origin, reason)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        most = f"{LOWEST_RATE:,} to {HIGHEST_RATE:,}"
        raise MediaError(
            "format", origin, f"a rate of {rate:,} Hz, but {most} are accepted; resample it"
        )


def _check_length(samples: int, rate: int, limits: AudioLimits, origin: str) -> None:
    if samples / rate > limits.seconds:
        found = f"{samples / rate:,.3f} s exceed the limit of {limits.seconds:,g} s"
        name = "`limits.audio.seconds`, as an encoder's `max_seconds` does"
    elif samples * 4 > limits.decoded_bytes:
        found = f"{samples:,} samples exceed the limit of {limits.decoded_bytes // 4:,}"
        name = "`limits.decoded_bytes`"
    else:
        return
    raise MediaError("too-large", origin, f"{found}; cut it into clips or raise {name}")


def _decode(sound: Sound, limits: AudioLimits, origin: str) -> NDArray[np.float32]:
    import numpy as np

    blocks, total = [np.empty(0, np.float32)], 0
    for block in sound.blocks:  # [S, channels]
        total += len(block)
        _check_layout(block.shape[1], sound.rate, limits, origin)
        _check_length(total, sound.rate, limits, origin)
        blocks.append(_mix(block))
    return np.concatenate(blocks)


def _mix(samples: NDArray[Any]) -> NDArray[np.float32]:
    import numpy as np

    with np.errstate(all="ignore"):  # overflow becomes infinity, which is refused later
        if samples.shape[1] == 1:
            return samples[:, 0].astype(np.float32)
        mixed: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    return mixed


def _checked(samples: NDArray[np.float32], rate: int, origin: str) -> Waveform:
    import numpy as np

    if not len(samples):
        raise MediaError("empty", origin, "it holds no samples; replace it")
    if not np.isfinite(samples).all():
        raise MediaError("not-finite", origin, "it holds samples that are not finite; replace it")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        reason = f"samples reach {peak:,.6g}, but full scale is 1; divide by their full scale"
        raise MediaError("out-of-range", origin, reason)
    return Waveform(samples, rate)
