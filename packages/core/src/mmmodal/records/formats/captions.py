"""Media with descriptions: `image` and `text` or `caption`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from mmmodal.config import Config
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.exchange import ExchangeFormat, exchange, has_media, text_of
from mmmodal.records.formats.transcripts import TRANSCRIPTS, is_speech
from mmmodal.records.wording import QuestionOptions, drawn, in_language

__all__ = ["Captions", "description"]

TEXTS = ("caption", "captions", "text")
DESCRIBE = {"en": "Describe the {kind}.", "ms": "Terangkan {kind} ini."}
NAMES: Mapping[str, Mapping[str, str]] = {"image": {"en": "image", "ms": "gambar"}}
"""What modalities are called, where that differs between languages."""


class CaptionsOptions(QuestionOptions):
    """What rows are asked, and what several captions are."""

    several: Literal["records", "references"] = "records"
    """Several captions of a medium are a record each, or references of one record, which is scored
    by the closest of them; the first of them is its answer."""


class Captions(ExchangeFormat):
    """`{"image": path, "caption": text}`, or several captions of one medium."""

    name = "captions"
    shape = "a medium (`image`, `audio` … or `file_name`) with `text`, `caption` or `captions`"
    Options: ClassVar[type[Config]] = CaptionsOptions
    options: CaptionsOptions

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has media, a caption and no turns."""
        if row.get("caption") is not None or row.get("captions") is not None:
            return has_media(row)
        said = is_speech(row) or any(row.get(key) is not None for key in TRANSCRIPTS)
        return row.get("text") is not None and not said and has_media(row)

    def keys(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of the texts."""
        return TEXTS

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return a record for each caption of a row, or one with all of them."""
        known, media = self.opened(row, place)
        if not media:
            raise RecordError(place.where, "it has no medium to describe; name one")
        texts, expect = _texts(row, place.where), {}
        if self.options.several == "references" and len(texts) > 1:
            texts, expect = texts[:1], {"references": tuple(texts)}
        lang = known.lang or self.options.lang
        whole = known.id if known.id is not None else place.fallback_id
        records = []
        for number, text in enumerate(texts):
            several = len(texts) > 1
            id = f"{whole}-{number}" if several else whole
            given = self.options.question or description(media[0][0], lang)
            question, noted = drawn(given, self.options.seed, id)
            about = {"lang": lang, "meta": {**(known.model_extra or {}), **noted} or None}
            about |= {"id": id, "group": known.group or whole} if several else {}
            values = exchange(media, question, text)
            records.append(known.record(place, values, expect, **about))
        return records


def _texts(row: Mapping[str, Any], where: str) -> list[str]:
    try:
        key, value = text_of(row, TEXTS)
    except ValueError as error:
        raise RecordError(where, str(error)) from None
    texts = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise RecordError(where, f"{key!r} must be a text, or a list of texts that are not empty")
    return texts


def description(kind: str, lang: str | None) -> str:
    """Return what asks for the description of a medium, in a language."""
    name = in_language(NAMES.get(kind, {"en": kind}), lang)
    return in_language(DESCRIBE, lang).format(kind=name)
