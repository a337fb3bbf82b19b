"""Speech from espeak-ng, through ctypes and the library in the `espeakng-loader` wheel.

The calls are those of espeak-ng's `speak_lib.h`. The library has one voice per process, so only one
thread may speak at a time.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import io
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import MMModalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "UNSEEN",
    "VOICES",
    "SpeechError",
    "Voice",
    "any_voice",
    "save_speech",
    "speak",
    "unseen_voice",
]

RATE = 16_000  # Hz
ACCENTS = {"en": ("en", "en-us", "en-gb-x-rp", "en-gb-scotland"), "ms": ("ms",)}
VARIANTS = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f3", "+f4")
UNSEEN = "+steph"
"""The speaker that no part was trained on."""

VOICES = {code: tuple(a + v for a in names for v in VARIANTS) for code, names in ACCENTS.items()}
"""The voices of each language, by espeak-ng's names: an accent, and a speaker after the plus."""

SYNCHRONOUS, UTF8, BY_CHARACTER, DO_NOT_EXIT = 0x02, 1, 1, 0x8000
SPEED, VOLUME, PITCH, PITCH_RANGE = 1, 2, 3, 4


REPAIR = "install it again: pip install --force-reinstall --no-deps espeakng-loader"
_ONE_AT_A_TIME = threading.Lock()


class SpeechError(MMModalError):
    """espeak-ng failed: the voice or library, and what to do."""


@dataclass(frozen=True)
class Voice:
    """The voice of one utterance."""

    name: str
    speed: int = 165  # words per minute
    pitch: int = 50  # 0 to 99
    range: int = 50  # 0 to 99, from a monotone to a lively voice
    lead: float = 0.05  # seconds of silence before it
    noise: float = 0.0  # standard deviation of white noise; full scale is 1
    loudness: float = 0.7  # peak; full scale is 1
    seed: int = 0  # of the noise


Say = Callable[[str, Voice], "NDArray[np.float32]"]
"""A function of text and voice that returns samples [S] at 16 kHz, without silence at the end."""


def any_voice(language: str, chance: random.Random) -> Voice:
    """Return a random voice with its speed, pitch and noise."""
    return Voice(
        name=chance.choice(VOICES[language]),
        speed=chance.randint(145, 200),
        pitch=chance.randint(35, 65),
        range=chance.randint(30, 70),
        lead=chance.uniform(0.0, 0.25),
        noise=chance.choice((0.0, 0.002, 0.005, 0.01)),
        loudness=chance.uniform(0.3, 0.95),
        seed=chance.getrandbits(32),
    )


def unseen_voice(language: str, chance: random.Random) -> Voice:
    """Return a random voice of the speaker that no part was trained on."""
    return replace(any_voice(language, chance), name=ACCENTS[language][0] + UNSEEN)


def speak(text: str, voice: Voice) -> NDArray[np.float32]:
    """Return the samples [S] at 16 kHz of a text; equal arguments give equal samples.

    Raises:
        SpeechError: the espeak-ng library or the voice is missing.
    """
    with speaking() as say:
        return say(text, voice)


def save_speech(path: Path, text: str, voice: Voice, say: Say = speak) -> None:
    """Write a spoken text to a WAV file of 16-bit samples."""
    import soundfile

    file = io.BytesIO()  # libsndfile gives no reason if it cannot write to a disk
    soundfile.write(file, say(text, voice), RATE, subtype="PCM_16", format="WAV")
    path.write_bytes(file.getvalue())


@contextlib.contextmanager
def speaking() -> Iterator[Say]:
    """Yield a function that speaks; equal utterances in the same order give equal samples.

    espeak-ng's library keeps state between utterances, which only loading it again resets. That
    takes longer than a phrase, so it is loaded once for a series of utterances.

    Raises:
        SpeechError: the espeak-ng library or a voice is missing.
    """
    with _ONE_AT_A_TIME:
        library = _load()
        try:
            yield _Speaker(library)
        finally:
            library.espeak_Terminate()
            _ctypes.dlclose(library._handle)


def _load() -> ctypes.CDLL:
    import espeakng_loader

    try:
        return ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as error:
        raise SpeechError(f"espeak-ng cannot be loaded ({error}); {REPAIR}") from None


class _Speaker:
    """The espeak-ng of this process, while its library is loaded."""

    def __init__(self, library: ctypes.CDLL) -> None:
        import espeakng_loader

        self.library = library
        self.chunks: list[bytes] = []
        data = espeakng_loader.get_data_path().encode()
        self.rate: int = library.espeak_Initialize(SYNCHRONOUS, 0, data, DO_NOT_EXIT)
        if self.rate <= 0:
            raise SpeechError(f"espeak-ng does not find its voices; {REPAIR}")
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._hear: Callable[..., Any] = kind(self._keep)  # must live as long as the library
        library.espeak_SetSynthCallback(self._hear)

    def __call__(self, text: str, voice: Voice) -> NDArray[np.float32]:
        import numpy as np
        import soxr

        samples = soxr.resample(self._synthesise(text, voice), self.rate, RATE)
        loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max(initial=0.0))
        samples = samples[: int(loud[-1]) + RATE // 50] if len(loud) else samples
        samples *= voice.loudness / max(1e-6, float(np.abs(samples).max(initial=0.0)))
        samples = np.concatenate([np.zeros(int(voice.lead * RATE), np.float32), samples])
        hiss = np.random.default_rng(voice.seed).standard_normal(len(samples), dtype=np.float32)
        noisy: NDArray[np.float32] = np.clip(samples + voice.noise * hiss, -1, 1)
        return noisy

    def _keep(self, samples: int | None, count: int, events: int) -> int:
        if samples and count > 0:
            self.chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def _synthesise(self, text: str, voice: Voice) -> NDArray[np.float32]:
        import numpy as np

        if self.library.espeak_SetVoiceByName(voice.name.encode()):
            raise SpeechError(f"espeak-ng has no voice {voice.name!r}; {REPAIR}")
        settings = {SPEED: voice.speed, VOLUME: 100, PITCH: voice.pitch, PITCH_RANGE: voice.range}
        for parameter, value in settings.items():
            self.library.espeak_SetParameter(parameter, value, 0)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(voice.seed))
        self.chunks.clear()
        data = text.encode() + b"\0"
        failed = self.library.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, BY_CHARACTER, 0, UTF8, None, None
        )
        spoken: NDArray[np.float32] = np.frombuffer(b"".join(self.chunks), "<i2").astype(np.float32)
        if failed or not len(spoken):
            raise SpeechError(f"espeak-ng spoke nothing for {text!r} with voice {voice.name!r}")
        return spoken / np.float32(32768)
