"""What turns speech into text: the contract of recogniser backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.config import Config

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RATE", "Confidence", "Recogniser", "Segment", "Transcript"]

RATE = 16_000
"""Samples per second of what recognisers hear."""


class Segment(Config):
    """A stretch of speech, and how sure the recogniser is of it; None: it does not say."""

    start_s: float
    end_s: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None


class Transcript(Config):
    """What was said in a clip."""

    text: str
    language: str
    language_probability: float | None = None
    """None where the language was given, not detected."""

    segments: tuple[Segment, ...] = ()
    raw_score: float | None = None
    """The paper's score: the mean over the clip's own tokens of the largest raw logit of each
    step, steps of special tokens and timestamps counting zero."""


class Confidence(Config):
    """How sure a recogniser has to be of every segment; None: it does not matter."""

    avg_logprob: float | None = None
    """At least."""

    no_speech_prob: float | None = None
    """At most."""

    compression_ratio: float | None = None
    """At most."""


class Recogniser(ABC):
    """A speech recogniser that is asked from many tasks of one event loop at once."""

    name: ClassVar[str]
    """The key users name it by: `whisper`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @property
    def confidence(self) -> Confidence:
        """What its transcripts have to reach where a step says nothing else.

        Each recogniser has its own, as they decode in different ways, and their scores differ.
        """
        return Confidence()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what decides its transcripts, as JSON: `model`, `revision`, decoding."""

    @abstractmethod
    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Write down what is said in a clip, whatever clips are decoded beside it.

        Args:
            sound: [samples], float32 from -1 to 1, 16 kHz.
            language: decode in this one; by default the language is detected, once.
            raw_score: compute the paper's score too, which takes one more pass.

        Raises:
            BackendError: no transcript came, after all retries.
        """

    async def aclose(self) -> None:  # noqa: B027 - most backends have nothing to close
        """Free what it holds; called once."""
