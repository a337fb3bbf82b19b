"""`whisper`: openai-whisper, with its own fallbacks and scores."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from mmmodal.authoring.parts import Config, PartError
from mmmodal.authoring.pretrained import read_pickled
from mmmodal_datagen.backends.batcher import Batcher
from mmmodal_datagen.contracts import (
    RATE,
    BackendError,
    Confidence,
    Recogniser,
    Segment,
    Transcript,
)

if TYPE_CHECKING:
    from whisper import Whisper

__all__ = ["OpenAIWhisper", "WhisperOptions"]

LONGEST_S = 30


class WhisperOptions(Config):
    """The weights, and how they decode."""

    source: str = "large-v3"
    """A published name, or a `.pt` file in the same format."""

    device: str | None = None
    """By default the GPU, if there is one."""

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """A clip that misses a threshold is decoded again at the next temperature."""

    compression_ratio: float = 2.4
    avg_logprob: float = -1.0
    no_speech_prob: float = 0.6
    seed: int = 0
    """The seed for temperatures above zero."""

    fp16: bool | None = None
    """By default true on a GPU."""

    beams: int | None = Field(None, ge=1)


class OpenAIWhisper(Recogniser):
    """openai-whisper on clips of at most 30 seconds, one at a time."""

    name: ClassVar[str] = "whisper"
    Options: ClassVar[type[Config]] = WhisperOptions
    options: WhisperOptions

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
        return {"model": self.options.source, **chosen}

    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Return the transcript of a clip."""
        return await self._batcher.ask((sound, language, raw_score))

    async def aclose(self) -> None:
        """End the model's thread."""
        self._batcher.close()

    def _transcribed(self, asked: Any) -> list[Transcript | Exception]:
        return [self._one(*each) for each in asked]

    def _one(
        self, sound: np.ndarray, language: str | None, raw_score: bool
    ) -> Transcript | Exception:
        import torch
        import whisper

        if len(sound) > LONGEST_S * RATE:
            detail = f"{len(sound) / RATE:.1f} s, of which the model takes {LONGEST_S}"
            return BackendError("clip too long", detail)
        model = self._model
        chosen, probability = (language, None) if language else self._spoken(sound)
        options = self.options
        torch.manual_seed(options.seed)
        result = whisper.transcribe(
            model,
            np.ascontiguousarray(sound, np.float32),
            language=chosen,
            task="transcribe",
            temperature=options.temperatures,
            compression_ratio_threshold=options.compression_ratio,
            logprob_threshold=options.avg_logprob,
            no_speech_threshold=options.no_speech_prob,
            condition_on_previous_text=False,
            beam_size=options.beams,
            fp16=self._half,
            verbose=None,
        )
        found = result["segments"]
        tokens = [token for segment in found for token in segment["tokens"]]
        score = self._raw_score(sound, str(chosen), tokens) if raw_score else None
        return Transcript(
            text=str(result["text"]).strip(),
            language=str(chosen),
            language_probability=probability,
            segments=tuple(_segment(segment) for segment in found),
            raw_score=score,
        )

    def _spoken(self, sound: np.ndarray) -> tuple[str, float]:
        """Return the language of a clip and its probability."""
        import whisper

        model = self._model
        if not model.is_multilingual:
            return "en", 1.0
        _, chances = whisper.detect_language(model, self._mel(sound)[0])
        best = max(chances, key=chances.__getitem__)
        return best, float(chances[best])

    def _raw_score(self, sound: np.ndarray, language: str, tokens: list[int]) -> float | None:
        """Return the mean of the highest logit of each step over the clip's own tokens.

        The text follows `<|notimestamps|>`, so the steps are those of the paper's decoding; there
        is no padding to average over.
        """
        import torch
        from whisper.tokenizer import get_tokenizer

        model = self._model
        tokenizer = get_tokenizer(
            model.is_multilingual,
            num_languages=model.num_languages,
            language=language,
            task="transcribe",
        )
        words = [token for token in tokens if token < tokenizer.eot]
        if not words:
            return None
        start = list(tokenizer.sot_sequence_including_notimestamps)
        room = model.dims.n_text_ctx - len(start)
        ids = torch.tensor([[*start, *words[:room]]], device=model.device)
        with torch.inference_mode():
            logits = model(self._mel(sound), ids)[0, len(start) - 1 :].float()  # [words + 1, V]
        peaks = logits.max(-1)
        kept = torch.where(peaks.indices < tokenizer.eot, peaks.values, 0.0)
        return float(kept.mean())

    def _mel(self, sound: np.ndarray) -> Any:
        import whisper

        padded = whisper.pad_or_trim(np.ascontiguousarray(sound, np.float32))
        mel = whisper.log_mel_spectrogram(padded, self._model.dims.n_mels)  # [bands, frames]
        model = self._model
        return mel[None].to(model.device, next(model.parameters()).dtype)

    @property
    def _half(self) -> bool:
        on_gpu = self._model.device.type == "cuda"
        return on_gpu if self.options.fp16 is None else self.options.fp16

    @cached_property
    def _model(self) -> Whisper:
        import torch
        from whisper.model import ModelDimensions, Whisper

        path = _file(self.options.source)
        held = read_pickled(path)
        try:
            model = Whisper(ModelDimensions(**held["dims"]))
            model.load_state_dict(held["model_state_dict"])
        except (KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise PartError(f"{path} is no checkpoint of openai-whisper: {reason}") from None
        device = self.options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        return model.to(device).eval()


def _file(source: str) -> Path:
    """Return the file of a source; a published one is downloaded once, and its digest checked."""
    if Path(source).is_file():
        return Path(source)
    try:
        from mmmodal_audio_whisper.formats import openai_cache
    except ImportError:
        hint = "Run: pip install mmmodal-datagen[whisper]"
        raise PartError(f"{source}: published weights need mmmodal-audio-whisper. {hint}") from None
    if source not in openai_cache.names():
        known = ", ".join(openai_cache.names())
        raise PartError(f"{source!r} is neither a file nor a published model. Known: {known}")
    return openai_cache.fetch(source)


def _segment(found: Any) -> Segment:
    return Segment(
        start_s=found["start"],
        end_s=found["end"],
        text=found["text"].strip(),
        avg_logprob=found["avg_logprob"],
        no_speech_prob=found["no_speech_prob"],
        compression_ratio=found["compression_ratio"],
        temperature=found["temperature"],
    )
