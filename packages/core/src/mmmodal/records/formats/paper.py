"""The rows of the paper (sections 2 to 4.4), in one language or in English and Malay."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator

from mmmodal.config import Config
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.media.source import Source
from mmmodal.records.addresses import Medium, addresses, shown
from mmmodal.records.foreign import ForeignRow, complete, expects, last_expectation, validated
from mmmodal.records.inline import (
    Marker,
    Turn,
    mark_text,
    markers,
    media_in_order,
    read_marked,
    split_marked,
)
from mmmodal.records.naming import kind_of
from mmmodal.records.remainder import texts_in

__all__ = ["Paper"]

MEDIA_KEYS = ("filename", "image")
ORIGIN, REMOTE = "image_url", re.compile(r"https?://", re.IGNORECASE)
TURN_KEYS = ("chat", "conversations")
QUESTION, ANSWER = "instruction", "answer"
LANGUAGES = {"en": "", "ms": "_ms"}
"""The suffix of the keys for the texts of a language."""

FORM = "paper_form"
"""The key of `meta` for differences of a row from `filename`: [...] and `conversations`."""


class Form(Config):
    """The form of a row, so that it can be written in the same form again."""

    key: Literal["filename", "image"] = Field(
        "filename", validation_alias=AliasChoices("key", "media")
    )
    single: bool = False
    """Whether the medium is not in a list."""

    turns: Literal["conversations", "chat", "instruction"] = "conversations"
    unmarked: bool = False
    """Whether the text has no markers: all media belong to the first question."""

    anonymous: bool = False
    """Whether the row has no id."""


class _Turn(Config):
    role: Literal["system", "user", "assistant"]
    content: str
    content_ms: str | None = None


class _Row(ForeignRow):
    filename: Medium | tuple[Medium, ...] | None = None
    image: Medium | tuple[Medium, ...] | None = None
    chat: tuple[_Turn, ...] | None = Field(None, min_length=1)
    conversations: tuple[_Turn, ...] | None = Field(None, min_length=1)
    instruction: str | None = None
    instruction_ms: str | None = None
    answer: str | None = None
    answer_ms: str | None = None

    @field_validator("filename", "image", mode="before")
    @classmethod
    def _a_path_or_several(cls, value: Any) -> Any:
        found = addresses(value, "image")
        return found if isinstance(value, list | tuple) else next(iter(found), None)


class Paper(Format):
    """`filename` or `image` with `chat`, `conversations`, or `instruction` and `answer`."""

    name = "paper"
    shape = (
        "`filename` or `image`, with `chat` or `conversations` of `role` and `content` (and "
        "`content_ms`), or with `instruction` and `answer`"
    )
    structured = TURN_KEYS

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has turns with a `role`, or a question and its answer."""
        if row.get(QUESTION) is not None and row.get(ANSWER) is not None:
            return not {"messages", *TURN_KEYS} & row.keys()
        turns = [turn for key in TURN_KEYS if isinstance(row.get(key), list) for turn in row[key]]
        return any(isinstance(turn, Mapping) and "role" in turn for turn in turns)

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of media, turns and texts in all forms."""
        return _Row.model_fields

    def ignores(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return `image_url` where it says from where each picture under `image` was downloaded."""
        urls, read = ([*texts_in(row.get(key))] for key in (ORIGIN, MEDIA_KEYS[1]))
        return (ORIGIN,) if len(urls) == len(read) and all(map(REMOTE.match, urls)) else ()

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the records of a row: one for each language."""
        known = validated(_Row, row, place.where)
        key, paths = _media(known, place.where)
        turns_key, versions = _turns(known, place.where)
        kind = key if key != MEDIA_KEYS[0] else None
        media = [(path, kind) for path in paths]
        marks = markers()
        unmarked = bool(paths) and not _has_markers(versions, marks)
        if unmarked:
            kinds = [kind or _guess(path, marks, place.where) for path in paths]
            versions = {name: _marked(turns, kinds, marks) for name, turns in versions.items()}
        form = _form(known, key, turns_key, unmarked)
        records = []
        for language, turns in versions.items():
            record = known.record(place, read_marked(turns, media, marks, place.where))
            about: dict[str, Any] = {"meta": ((record.meta or {}) | form) or None}
            if len(versions) > 1:
                about |= {"id": f"{record.id}-{language}", "lang": language, "group": record.id}
            records.append(record.model_copy(update=about))
        if any(record.media != records[0].media for record in records):
            reason = "the languages mark media in different orders; use the same order"
            raise RecordError(place.where, reason)
        return records

    def joins(self, held: Sequence[Record], record: Record) -> bool:
        """Return whether two records are the English and the Malay version of one row."""
        if len(held) != 1 or (held[0].lang, record.lang) != tuple(LANGUAGES):
            return False
        first, group = held[0], record.group
        same = (first.group, first.media, first.meta) == (group, record.media, record.meta)
        same &= first.cluster == record.cluster and expects(first) == expects(record)
        ids = (first.id, record.id) == tuple(f"{group}-{language}" for language in LANGUAGES)
        shown = media_in_order(first) == media_in_order(record)
        roles = [message.role for message in first.messages]
        return same and ids and shown and roles == [message.role for message in record.messages]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record, or of both languages, in the form it was read in."""
        first = records[0]
        meta = dict(first.meta or {})
        form = _read_form(meta.pop(FORM, {}), where)
        paths = media_in_order(first)
        row: dict[str, Any] = {} if form.anonymous else {"id": first.id}
        if len(records) > 1:
            row = {} if form.anonymous else {"id": first.group}
            first = first.model_copy(update={"lang": None, "group": None})
        row |= _written_media(first, form, paths, where)
        texts = [_texts(record, form, where) for record in records]
        row |= _written_turns(first, form, texts) | last_expectation(first, where)
        return complete(row, first.model_copy(update={"meta": meta}), self, where)


def _form(known: _Row, key: str, turns_key: str, unmarked: bool) -> dict[str, Any]:
    """Return the form of a row for `meta`, without the default values."""
    form = {
        "key": key,
        "single": isinstance(getattr(known, key), str | Source),
        "turns": turns_key,
        "unmarked": unmarked,
        "anonymous": known.id is None,
    }
    changed = Form.model_validate(form).model_dump(exclude_defaults=True)
    return {FORM: changed} if changed else {}


def _read_form(value: Any, where: str) -> Form:
    if not isinstance(value, Mapping):
        raise RecordError(where, f"meta.{FORM} is reserved for this format; rename your key")
    return validated(Form, value, where)


def _media(known: _Row, where: str) -> tuple[str, tuple[Medium, ...]]:
    """Return the key of the media, and their paths."""
    given = [key for key in MEDIA_KEYS if getattr(known, key) is not None]
    if len(given) > 1:
        raise RecordError(where, f"media are listed under {given[0]!r} and {given[1]!r}; keep one")
    value = getattr(known, given[0]) if given else ()
    return given[0] if given else MEDIA_KEYS[0], value if isinstance(value, tuple) else (value,)


def _turns(known: _Row, where: str) -> tuple[str, dict[str, list[Turn]]]:
    """Return the key of the turns, and the turns in each language of the row."""
    given = [key for key in (*TURN_KEYS, QUESTION) if getattr(known, key) is not None]
    if len(given) != 1:
        there = " and ".join(map(repr, given)) or "none of them"
        raise RecordError(
            where, f"a row must have one of 'chat', 'conversations', 'instruction'; it has {there}"
        )
    (key,) = given
    fields = _fields(known, key)
    translated = [ms for *_, ms in fields if ms is not None]
    versions = {}
    for language, ending in LANGUAGES.items():
        if ending and not translated:
            continue
        turns = []
        for role, name, *texts in fields:
            text = texts[1] if ending else texts[0]
            if text is None:
                others = ", but other turns have a translation" if ending else ""
                raise RecordError(where, f"'{name}{ending}' is missing{others}; add it")
            turns.append(Turn(role, text, f"'{name}{ending}'"))
        versions[language] = turns
    return key, versions


def _fields(known: _Row, key: str) -> list[tuple[str, str, str | None, str | None]]:
    """Return (role, name, text, Malay text) of each turn."""
    if key == QUESTION:
        return [
            ("user", QUESTION, known.instruction, known.instruction_ms),
            ("assistant", ANSWER, known.answer, known.answer_ms),
        ]
    return [
        (turn.role, f"{key}.{index}.content", turn.content, turn.content_ms)
        for index, turn in enumerate(getattr(known, key))
    ]


def _has_markers(versions: Mapping[str, Sequence[Turn]], marks: Sequence[Marker]) -> bool:
    return any(
        kind != "text"
        for turns in versions.values()
        for turn in turns
        for kind, _ in split_marked(turn.text, marks)
    )


def _marked(turns: Sequence[Turn], kinds: Sequence[str], marks: Sequence[Marker]) -> list[Turn]:
    """Return turns with all media marked before the first question, as in the paper's own code."""
    first = next((index for index, turn in enumerate(turns) if turn.role == "user"), 0)
    prefix = _prefix(kinds, marks)
    return [
        turn._replace(text=prefix + turn.text) if index == first else turn
        for index, turn in enumerate(turns)
    ]


def _prefix(kinds: Sequence[str], marks: Sequence[Marker]) -> str:
    begins = {mark.kind: mark.begin for mark in marks}
    return "".join(f"{begins[kind]} " for kind in kinds)


def _guess(medium: Medium, marks: Sequence[Marker], where: str) -> str:
    """Return the modality of a file in a row without markers, by the file's suffix."""
    path = medium.name if isinstance(medium, Source) else shown(medium)
    if (kind := kind_of(path)) is None:
        begins = " or ".join(mark.begin for mark in marks)
        reason = f"has no marker in the text, and its suffix is unknown; write {begins}"
        raise RecordError(where, f"{path[:80]!r} {reason} at its place in the text")
    return kind


def _written_media(record: Record, form: Form, paths: Sequence[str], where: str) -> dict[str, Any]:
    if not paths:
        return {}
    other = next((ref.kind for ref in record.media if ref.kind != form.key), None)
    key = MEDIA_KEYS[0] if other else form.key
    return {key: paths[0] if form.single and len(paths) == 1 else list(paths)}


def _texts(record: Record, form: Form, where: str) -> list[str]:
    """Return the text of each turn, without markers if the form has none."""
    marks = markers()
    texts = [mark_text(message, marks, where) for message in record.messages]
    if not form.unmarked:
        return texts
    kinds = [ref.kind for ref in record.media]
    roles = [message.role for message in record.messages]
    first = roles.index("user") if "user" in roles else 0
    bare = list(texts)
    bare[first] = texts[first].removeprefix(_prefix(kinds, marks))
    left = [kind for text in bare for kind, _ in split_marked(text, marks) if kind != "text"]
    return texts if left else bare


def _written_turns(record: Record, form: Form, texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    roles = [message.role for message in record.messages]
    endings = list(LANGUAGES.values())[: len(texts)]
    if form.turns == QUESTION and roles == ["user", "assistant"]:
        return {
            f"{name}{ending}": text
            for ending, language in zip(endings, texts, strict=True)
            for name, text in zip((QUESTION, ANSWER), language, strict=True)
        }
    turns = [
        {"role": role} | {f"content{end}": text for end, text in zip(endings, said, strict=True)}
        for role, *said in zip(roles, *texts, strict=True)
    ]
    return {TURN_KEYS[1] if form.turns == QUESTION else form.turns: turns}
