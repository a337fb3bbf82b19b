"""`transformers`: a Whisper in the format of transformers, decoded greedily in batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from mmmodal.authoring.parts import Config
from mmmodal_datagen.backends.batcher import Batcher
from mmmodal_datagen.backends.local_files import LocalOptions, loaded
from mmmodal_datagen.contracts import (
    RATE,
    BackendError,
    Confidence,
    Recogniser,
    Segment,
    Transcript,
)
from mmmodal_datagen.texts.repetition import compression_ratio

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LocalRecogniser"]

NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
"""The token for silence, as large-v3 and earlier sizes name it."""


class _Asked(NamedTuple):
    sound: np.ndarray
    language: str | None
    raw_score: bool


class LocalRecogniser(Recogniser):
    """Any Whisper that transformers loads, also with shorter windows.

    A clip is one window and one segment. Unlike openai-whisper, it never decodes again at a higher
    temperature, so the thresholds of the two differ. The scores of a clip do not depend on the
    other clips of its batch.
    """

    name: ClassVar[str] = "transformers"
    Options: ClassVar[type[Config]] = LocalOptions
    options: LocalOptions

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self._batcher = Batcher(self._transcribed, self.options.batch_size)

    @property
    def confidence(self) -> Confidence:
        """The thresholds at which openai-whisper would decode again; this one does not."""
        return Confidence(avg_logprob=-1.0, no_speech_prob=0.6, compression_ratio=2.4)

    def identity(self) -> dict[str, Any]:
        """Return the weights and their precision."""
        chosen = self.options
        return {"model": chosen.source, "revision": chosen.revision, "dtype": chosen.dtype}

    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Return the transcript of a clip of at most one window."""
        return await self._batcher.ask(_Asked(sound, language, raw_score))

    async def aclose(self) -> None:
        """End the model's thread."""
        self._batcher.close()

    def _transcribed(self, asked: Sequence[_Asked]) -> list[Transcript | Exception]:
        import torch

        model, extractor, tokenizer = self._model
        answers: list[Transcript | Exception] = [self._too_long(each) for each in asked]
        kept = [i for i, each in enumerate(asked) if len(each.sound) <= extractor.n_samples]
        if not kept:
            return answers
        sounds = [asked[index].sound for index in kept]
        features = extractor(sounds, sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            hidden = model.model.encoder(features.to(model.device, model.dtype))[0]  # [N, T, D]
            decoding = _Decoding(model, hidden)
            spoken, sure = decoding.languages([asked[index].language for index in kept])
            written = decoding.run(spoken)
            silence = decoding.no_speech(tokenizer)
        for place, index in enumerate(kept):
            ids, logprobs, highest = written[place]
            text = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
            segment = Segment(
                start_s=0.0,
                end_s=len(asked[index].sound) / RATE,
                text=text,
                avg_logprob=sum(logprobs) / len(logprobs),
                no_speech_prob=silence[place],
                compression_ratio=compression_ratio(text),
                temperature=0.0,
            )
            answers[index] = Transcript(
                text=text,
                language=spoken[place],
                language_probability=sure[place],
                segments=(segment,) if text else (),
                raw_score=sum(highest) / len(highest) if asked[index].raw_score else None,
            )
        return answers

    def _too_long(self, asked: _Asked) -> BackendError:
        _, extractor, _ = self._model
        longest = extractor.n_samples / RATE
        detail = f"{len(asked.sound) / RATE:.1f} s, of which the model takes {longest:g}"
        return BackendError("clip too long", detail)

    @cached_property
    def _model(self) -> tuple[Any, Any, Any]:
        from transformers import (
            AutoTokenizer,
            WhisperFeatureExtractor,
            WhisperForConditionalGeneration,
        )

        source, revision = self.options.source, self.options.revision or "main"
        extractor = WhisperFeatureExtractor.from_pretrained(source, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        return loaded(WhisperForConditionalGeneration, self.options), extractor, tokenizer


class _Decoding:
    """Greedy decoding of encoded clips, token by token."""

    def __init__(self, model: Any, hidden: Tensor) -> None:
        self._model = model
        self._hidden = hidden
        self._config = model.generation_config
        self._first = self._logits([[self._config.decoder_start_token_id]] * len(hidden))[:, -1]

    def languages(self, given: Sequence[str | None]) -> tuple[list[str], list[float | None]]:
        """Return the language of each clip and its probability; None where it was given.

        Raises:
            BackendError: the model does not know a given language.
        """
        known = {name.strip("<|>"): place for name, place in self._config.lang_to_id.items()}
        if unknown := {name for name in given if name is not None} - known.keys():
            raise BackendError("language unknown to the recogniser", ", ".join(sorted(unknown)))
        names = list(known)
        chances = self._first[:, list(known.values())].float().softmax(-1)  # [N, languages]
        best = chances.argmax(-1).tolist()
        spoken = [name or names[place] for name, place in zip(given, best, strict=True)]
        sure = [
            None if name else float(chance[place])
            for name, chance, place in zip(given, chances, best, strict=True)
        ]
        return spoken, sure

    def no_speech(self, tokenizer: Any) -> list[float | None]:
        """Return the probability of silence of each clip; None if the model has no token for it."""
        ids = [tokenizer.convert_tokens_to_ids(name) for name in NO_SPEECH]
        there = [place for place in ids if place is not None and place != tokenizer.unk_token_id]
        if not there:
            return [None] * len(self._hidden)
        return [float(p) for p in self._first.float().softmax(-1)[:, there[0]]]

    def run(self, languages: Sequence[str]) -> list[tuple[list[int], list[float], list[float]]]:
        """Return the tokens of each clip, their log-probabilities, and the highest logits by step.

        The log-probabilities include that of the end, as in openai-whisper. The logits are zero
        for special tokens, as in the paper's score.
        """
        config = self._config
        starts = [self._prefix(language) for language in languages]
        ids = [list(start) for start in starts]
        logprobs: list[list[float]] = [[] for _ in ids]
        highest: list[list[float]] = [[] for _ in ids]
        ended = [False] * len(ids)
        room = self._model.config.max_target_positions - len(starts[0])
        cache = None
        for step in range(room):
            last = ids if step == 0 else [each[-1:] for each in ids]
            logits, cache = self._step(last, cache)  # [N, V]
            allowed = self._allowed(logits, step)
            chosen = allowed.argmax(-1)
            sure = allowed.float().log_softmax(-1).gather(1, chosen[:, None])[:, 0]
            peak = logits.float().max(-1).values
            for place, token in enumerate(chosen.tolist()):
                if not ended[place]:
                    logprobs[place].append(float(sure[place]))
                    special = token >= config.eos_token_id > 0 or token == config.eos_token_id
                    highest[place].append(0.0 if special else float(peak[place]))
                ended[place] = ended[place] or token == config.eos_token_id
                ids[place].append(config.eos_token_id if ended[place] else token)
            if all(ended):
                break
        size = len(starts[0])
        made = [[token for token in each[size:] if token != config.eos_token_id] for each in ids]
        return list(zip(made, logprobs, highest, strict=True))

    def _prefix(self, language: str) -> list[int]:
        config = self._config
        names = {name.strip("<|>"): place for name, place in config.lang_to_id.items()}
        task = config.task_to_id["transcribe"]
        start = config.decoder_start_token_id
        return [start, names[language], task, config.no_timestamps_token_id]

    def _allowed(self, logits: Tensor, step: int) -> Tensor:
        """Return the logits without the tokens that the model's configuration suppresses."""
        ruled_out = list(self._config.suppress_tokens or [])
        if step == 0:
            ruled_out += self._config.begin_suppress_tokens or []
        allowed = logits.clone()
        if ruled_out:
            allowed[:, ruled_out] = -float("inf")
        return allowed

    def _logits(self, ids: list[list[int]]) -> Tensor:
        return self._model(  # type: ignore[no-any-return]
            encoder_outputs=(self._hidden,), decoder_input_ids=self._tensor(ids)
        ).logits

    def _step(self, ids: list[list[int]], cache: Any) -> tuple[Tensor, Any]:
        out = self._model(
            encoder_outputs=(self._hidden,),
            decoder_input_ids=self._tensor(ids),
            past_key_values=cache,
            use_cache=True,
        )
        return out.logits[:, -1], out.past_key_values

    def _tensor(self, ids: list[list[int]]) -> Tensor:
        import torch

        return torch.tensor(ids, device=self._hidden.device)
