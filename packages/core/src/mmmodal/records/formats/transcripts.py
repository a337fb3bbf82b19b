"""Speech with what is said: `audio` and `sentence`, `text` or `transcription`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from mmmodal.config import Config
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.exchange import ExchangeFormat, exchange, has_media, text_of
from mmmodal.records.wording import QuestionOptions, drawn, in_language

__all__ = ["TRANSCRIPTS", "Transcripts", "is_speech"]

TRANSCRIPTS = ("sentence", "transcription", "transcript")
LOCALE = "locale"
SAID = {"en": "What is said?", "ms": "Apa yang dikatakan?"}


def is_speech(row: Mapping[str, Any]) -> bool:
    """Return whether a row holds sound, of which a `text` is what is said in it."""
    return row.get("audio") is not None or row.get("audios") is not None


class Transcripts(ExchangeFormat):
    """`{"audio": path, "sentence": text}`, as Common Voice, FLEURS and LibriSpeech have it."""

    name = "transcripts"
    shape = "`audio` (or `file_name`) with `sentence`, `transcription`, `transcript` or `text`"
    Options: ClassVar[type[Config]] = QuestionOptions
    options: QuestionOptions

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has media with what is said in them, and no turns."""
        if any(row.get(key) is not None for key in TRANSCRIPTS):
            return has_media(row)
        captioned = row.get("caption") is not None or row.get("captions") is not None
        return is_speech(row) and row.get("text") is not None and not captioned and has_media(row)

    def keys(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of the text and of its language."""
        given = [key for key in TRANSCRIPTS if row.get(key) is not None]
        return (*(given or ["text"]), LOCALE)

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; `locale` is its language if it has no `lang`."""
        known, media = self.opened(row, place)
        if len(media) != 1:
            raise RecordError(place.where, f"it must have one clip, but has {len(media)}")
        try:
            key, text = text_of(row, [key for key in self.keys(row) if key != LOCALE])
        except ValueError as error:
            raise RecordError(place.where, str(error)) from None
        if not isinstance(text, str):
            raise RecordError(place.where, f"{key!r} must be a text, what is said")
        locale = row.get(LOCALE)
        lang = known.lang or (locale if isinstance(locale, str) else None) or self.options.lang
        id = known.id if known.id is not None else place.fallback_id
        given = self.options.question or in_language(SAID, lang)
        question, noted = drawn(given, self.options.seed, id)
        about: dict[str, Any] = {
            "lang": lang,
            "meta": {**(known.model_extra or {}), **noted} or None,
        }
        return [known.record(place, exchange(media, question, text), **about)]
