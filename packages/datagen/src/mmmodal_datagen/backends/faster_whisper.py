"""`faster-whisper`: Whisper on CTranslate2, with the fields and fallbacks of openai-whisper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from mmmodal.authoring.parts import Config, PartError
from mmmodal_datagen.backends.batcher import Batcher
from mmmodal_datagen.contracts import BackendError, Confidence, Recogniser, Segment, Transcript

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

__all__ = ["FasterWhisper", "FasterWhisperOptions"]

NEEDED = ("model.bin", "tokenizer.json")
"""Files of a converted model; without the second, the library downloads that of another model."""


class FasterWhisperOptions(Config):
    """The weights, and how they decode."""

    source: str = "large-v3"
    """A published name, a name on the Hugging Face Hub, or a folder in CTranslate2's format."""

    revision: str | None = None
    """A tag, or better a commit, of a name on the Hub."""

    device: str = "auto"
    compute_type: str = "default"
    """A precision by CTranslate2's name, such as `int8` or `float16`."""

    temperatures: tuple[float, ...] = Field((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), min_length=1)
    """A clip that misses a threshold is decoded again at the next temperature."""

    compression_ratio: float = 2.4
    avg_logprob: float = -1.0
    no_speech_prob: float = 0.6
    beams: int = Field(5, ge=1)


class FasterWhisper(Recogniser):
    """faster-whisper through its `transcribe`: one clip at a time, without voice detection.

    Its batched pipeline is not used, as it decodes only at the first temperature and scores
    differently. Decoding above temperature zero has no seed; it repeats because answers are kept.
    """

    name: ClassVar[str] = "faster-whisper"
    Options: ClassVar[type[Config]] = FasterWhisperOptions
    options: FasterWhisperOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self._batcher = Batcher(self._transcribed, 1)

    @property
    def confidence(self) -> Confidence:
        """The thresholds at which it decodes again, while temperatures are left."""
        chosen = self.options
        return Confidence(
            avg_logprob=chosen.avg_logprob,
            no_speech_prob=chosen.no_speech_prob,
            compression_ratio=chosen.compression_ratio,
        )

    def identity(self) -> dict[str, Any]:
        """Return the weights and the settings of decoding."""
        chosen = self.options.model_dump(mode="json", exclude={"source", "device"})
        return {"model": self.options.source, "mode": "sequential", "voice": False, **chosen}

    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Return the transcript of a clip.

        Raises:
            PartError: the paper's score was asked for, which needs logits.
        """
        if raw_score:
            other = "take the recogniser `transformers` or `whisper`"
            raise PartError(f"faster-whisper returns no logits, which `raw_score` needs; {other}")
        return await self._batcher.ask((sound, language))

    async def aclose(self) -> None:
        """End the model's thread."""
        self._batcher.close()

    def _transcribed(self, asked: Sequence[Any]) -> list[Transcript | Exception]:
        return [self._one(*each) for each in asked]

    def _one(self, sound: np.ndarray, language: str | None) -> Transcript | Exception:
        model, options = self._model, self.options
        if language is not None and language not in model.supported_languages:
            return BackendError("language unknown to the recogniser", language)
        found, about = model.transcribe(
            np.ascontiguousarray(sound, np.float32),
            language=language,
            task="transcribe",
            beam_size=options.beams,
            temperature=options.temperatures,
            compression_ratio_threshold=options.compression_ratio,
            log_prob_threshold=options.avg_logprob,
            no_speech_threshold=options.no_speech_prob,
            condition_on_previous_text=False,
            vad_filter=False,
        )
        segments = list(found)  # it decodes as it is read
        return Transcript(
            text="".join(segment.text for segment in segments).strip(),
            language=about.language,
            language_probability=None if language else float(about.language_probability),
            segments=tuple(_segment(segment) for segment in segments),
        )

    @cached_property
    def _model(self) -> WhisperModel:
        options = self.options
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            hint = "Run: pip install mmmodal-datagen[faster-whisper]"
            raise PartError(f"faster-whisper is not installed. {hint}") from None
        folder = Path(options.source)
        missing = [name for name in NEEDED if folder.is_dir() and not (folder / name).is_file()]
        if missing:
            hint = "convert it with ct2-transformers-converter --copy_files tokenizer.json"
            raise PartError(f"{folder} has no {missing[0]}; {hint} preprocessor_config.json")
        try:
            return WhisperModel(
                options.source,
                device=options.device,
                compute_type=options.compute_type,
                revision=options.revision,
            )
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise PartError(f"{options.source} cannot be loaded: {reason}") from None


def _segment(found: Any) -> Segment:
    return Segment(
        start_s=found.start,
        end_s=found.end,
        text=found.text.strip(),
        avg_logprob=float(found.avg_logprob),
        no_speech_prob=float(found.no_speech_prob),
        compression_ratio=float(found.compression_ratio),
        temperature=float(found.temperature),
    )
