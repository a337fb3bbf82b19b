"""`transcribe`: transcripts of clips by a recogniser, as pseudo-labels (paper §2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import (
    RATE,
    Confidence,
    Gate,
    Medium,
    Rejected,
    Row,
    RowContext,
    RowGenerator,
    Transcript,
)
from mmmodal_datagen.steps.transcribe.filters import Check, Filters, checks
from mmmodal_datagen.texts.words import count_words

__all__ = ["Transcribe", "TranscribeOptions"]


class TranscribeOptions(Filters):
    """The languages of transcripts, and which transcripts are kept."""

    languages: tuple[str, ...] = ()
    """Decode in each of these languages; one that is not spoken makes a translation. By default the
    language is detected once."""

    confidence: Literal["backend", "none"] | Confidence = "backend"
    """Thresholds for the recogniser's scores: those of the backend, none, or the given ones."""


class Transcribe(RowGenerator):
    """Transcribe each clip; a transcript that fails a check is rejected with the reason.

    With several languages, the later ones are decoded only if the first transcript passes, and
    each that passes is a row.
    """

    name: ClassVar[str] = "transcribe"
    version: ClassVar[str] = "2"
    needs: ClassVar[tuple[str, ...]] = ("recogniser",)
    Options: ClassVar[type[Config]] = TranscribeOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "languages": ("ms", "en"),
            "raw_score": 8.0,
            "words": 70,
            "confidence": "none",
            "unique_words": 0.0,
            "longest_word": None,
            "characters_per_s": None,
            "capitals": True,
            "phrases": (),
        },
    }
    options: TranscribeOptions

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the row with its transcript, or one row for each of `languages`."""
        medium = _clip(row)
        # In a thread, as a clip can be a file of ten minutes.
        sound = await asyncio.to_thread(context.sound, medium)
        heard: list[_Heard] = []
        for language in self.options.languages or (None,):
            transcript = await context.transcribe(
                sound, language=language, raw_score=self.options.raw_score is not None
            )
            heard.append(self._checked(transcript, len(sound) / RATE, context))
            if heard[0].failed:
                break
        measured = _measured(row, heard)
        if failed := heard[0].failed:
            gate, detail = failed
            raise Rejected(gate.name, detail, _transcribed(measured, heard[0]))
        if not self.options.languages:
            return [_transcribed(measured, heard[0])]
        return [
            _transcribed(measured.child(gates=measured.gates, metrics=measured.metrics), each)
            for each in heard
            if not each.failed
        ]

    def _checked(self, transcript: Transcript, seconds: float, context: RowContext) -> _Heard:
        found = checks(transcript, seconds, self.options, self._confidence(context))
        if not self.options.languages:
            return _Heard(transcript, list(found))
        # A row has the checks of all its languages.
        suffix = f" ({transcript.language})"
        named = [
            (gate.model_copy(update={"name": gate.name + suffix}), text) for gate, text in found
        ]
        return _Heard(transcript, named)

    def _confidence(self, context: RowContext) -> Confidence:
        chosen = self.options.confidence
        if isinstance(chosen, Confidence):
            return chosen
        return context.confidence if chosen == "backend" else Confidence()


class _Heard(NamedTuple):
    """A transcript and its checks."""

    transcript: Transcript
    checks: list[Check]

    @property
    def failed(self) -> Check | None:
        """The first check it did not pass."""
        return next((check for check in self.checks if not check[0].passed), None)


def _clip(row: Row) -> Medium:
    """Return the one clip of a row."""
    if [medium.kind for medium in row.media] != ["audio"]:
        kinds = ", ".join(medium.kind for medium in row.media) or "nothing"
        raise Rejected("not one clip", f"the row holds {kinds}")
    return row.media[0]


def _measured(row: Row, heard: Sequence[_Heard]) -> Row:
    """Return a row with all transcripts and their checks."""
    medium = row.media[0]
    transcripts = [each.transcript.model_dump(mode="json", exclude_none=True) for each in heard]
    facts = {**(medium.facts or {}), "transcripts": transcripts}
    if medium.description is not None:
        # An earlier description of the clip is kept.
        facts["description"] = medium.description
    gates: list[Gate] = [gate for each in heard for gate, _ in each.checks]
    return row.changed(media=(medium.model_copy(update={"facts": facts}),)).measured(gates)


def _transcribed(row: Row, heard: _Heard) -> Row:
    """Return a row whose clip has the transcript as description."""
    transcript = heard.transcript
    said = {
        "description": transcript.text,
        "description_source": "asr",
        "lang": transcript.language,
    }
    metrics = {"words": float(count_words(transcript.text))}
    for name in ("language_probability", "raw_score"):
        value = getattr(transcript, name)
        if value is not None:
            metrics[name] = value
    medium = row.media[0].model_copy(update=said)
    return row.changed(media=(medium,), metrics=row.metrics | metrics, synthetic=True)
