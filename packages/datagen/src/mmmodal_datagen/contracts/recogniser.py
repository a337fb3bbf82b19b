"""The contract of recogniser backends, which turn speech into text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.authoring.parts import Config

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RATE", "Confidence", "Recogniser", "Segment", "Transcript"]

RATE = 16_000
"""Samples per second of the sound that recognisers take."""


class Segment(Config):
    """A stretch of speech with its scores; None: the recogniser has no such score."""

    start_s: float
    end_s: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None


class Transcript(Config):
    """The transcript of a clip."""

    text: str
    language: str
    language_probability: float | None = None
    """None where the language was given, not detected."""

    segments: tuple[Segment, ...] = ()
    raw_score: float | None = None
    """The paper's score: the mean over the clip's own tokens of the largest raw logit of each
    step, steps of special tokens and timestamps counting zero."""


class Confidence(Config):
    """Thresholds for the scores of every segment; None: no threshold."""

    avg_logprob: float | None = None
    """At least."""

    no_speech_prob: float | None = None
    """At most."""

    compression_ratio: float | None = None
    """At most."""


class Recogniser(ABC):
    """A speech recogniser that many tasks of one event loop call at once."""

    name: ClassVar[str]
    """The name in pipelines: `whisper`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @property
    def confidence(self) -> Confidence:
        """The thresholds for its transcripts, unless a step sets others.

        Recognisers decode in different ways, so their scores and thresholds differ.
        """
        return Confidence()

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return, as JSON, what its transcripts depend on: `model`, `revision`, decoding."""

    @abstractmethod
    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Return the transcript of a clip; it does not depend on other clips.

        Args:
            sound: [samples], float32 from -1 to 1, 16 kHz.
            language: to decode in; by default it is detected once.
            raw_score: also compute the paper's score, in one more pass.

        Raises:
            BackendError: no transcript came, after all retries.
        """

    async def aclose(self) -> None:  # noqa: B027 - most backends have nothing to close
        """Free its resources; called once."""
