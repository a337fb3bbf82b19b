"""What a row says under keys that its format does not read; nothing of it is lost in silence."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmmodal.contracts.format import Format
from mmmodal.contracts.record import Record, text_message
from mmmodal.errors import RecordError
from mmmodal.records.json_text import printable
from mmmodal.records.naming import is_blank, media_named, words_of

__all__ = ["Remainder", "speaks", "spoken", "texts_in", "unread_medium"]

SYSTEM = frozenset({"system", "system_prompt", "system_message"})
"""Keys of a system prompt; its text becomes the system turn."""

TURNS = re.compile(
    r"messages?|conversations?|chat|dialog|dialogue|turns|history|instructions?|instruction_ms|prompt"
    r"|query|input|output|response|completion|(chosen|rejected)(_responses?|_messages?)?|developer"
    r"|(positive|negative)_messages?"
    r"|system_ms|system_prompt_ms|system_instructions?"
)
"""Keys of what is said, which must all be said in the messages."""

QUESTIONS = re.compile(r"questions?|(multiple_choice_)?answers?|response")
"""Further keys of a question or its answer."""

UNSUPPORTED = re.compile(
    r"tools?|functions?|tool_calls?|function_calls?|tool_choice|documents?|kto_tag"
    r"|chat_template_kwargs"
)
"""Keys that change what a model reads, or how it learns from it."""

LEAVE_OUT = "remove the key (or `ignore` it with the format 'columns'; see `mmmodal data guess`)"

VERDICTS = frozenset({"label", "kto_tag"})
"""Keys of which true or false says whether the answer is a good one, as rows of KTO have them."""

OBJECTS, STAND_IN = "objects", re.compile(r"<(?:bbox|ref-object)>")
"""The key of boxes and names in rows of ms-swift, and what stands for one of them in the texts."""


class Remainder:
    """The keys of a row that its format does not read, with what they say."""

    def __init__(self, row: Mapping[str, Any], format: Format, where: str) -> None:
        self._row = row
        self._format = format
        self._where = where
        used = {*format.uses(row)}
        unread = [key for key, value in row.items() if key not in used and value is not None]
        self._system = [key for key in unread if _name(key) in SYSTEM]
        self.unused = tuple(key for key in unread if key not in self._system)
        """The keys that are kept in `meta`."""

    @property
    def rest(self) -> dict[str, Any]:
        """The row without its system prompt."""
        return {key: value for key, value in self._row.items() if key not in self._system}

    def check(self, records: Sequence[Record]) -> None:
        """Check that records of a row hold all media and turns that the row names.

        Raises:
            RecordError: they do not; names the key.
        """
        if self.unused:
            uris = [ref.uri for record in records for ref in record.media]
            for reason in self._reasons(uris, [text for each in records for text in _said(each)]):
                raise self._error(reason)

    def cause(self) -> str:
        """Return what a row that cannot be read names under unread keys alone, or ""."""
        used = (value for key, value in self._row.items() if key not in self.unused)
        held = [text for value in used for text in texts_in(value)]
        return next(self._reasons(held, held), "")

    def completed(self, record: Record, versions: int = 1) -> Record:
        """Return a record with the row's system prompt as its first turn.

        Args:
            record: the record.
            versions: the number of records of the row, one for each language.

        Raises:
            RecordError: there are several system prompts, or languages that need one each.
        """
        given = {key: self._row[key] for key in self._system if not is_blank(self._row[key])}
        if not given:
            return record
        key, text = next(iter(given.items()))
        if not isinstance(text, str):
            raise self._error(f"{key!r} must be a text, the system prompt")
        if any(other != text for other in given.values()):
            raise self._error(f"{' and '.join(map(repr, given))} differ; keep one of them")
        if versions > 1:
            raise self._error(f"{key!r}: each language needs its own; put it in a system turn")
        first = record.messages[0]
        if first.role != "system":
            messages = (text_message("system", text), *record.messages)
            return record.model_copy(update={"messages": messages})
        if "".join(part.text or "" for part in first.content).strip() != text.strip():
            raise self._error(f"{key!r} and the system turn differ; keep one of them")
        return record

    def claimed(self, record: Record, keys: Iterable[str]) -> Iterator[str]:
        """Yield those of some keys that reading would not keep in `meta` as they are."""
        uris, texts = [ref.uri for ref in record.media], [*_said(record)]
        for key in keys:
            if key in self._system or (key in self.unused and self._reason(key, uris, texts)):
                yield key

    def _reasons(self, uris: Collection[str], texts: Collection[str]) -> Iterator[str]:
        yield from filter(None, (self._reason(key, uris, texts) for key in self.unused))

    def _reason(self, key: str, uris: Collection[str], texts: Collection[str]) -> str:
        """Return why a key cannot be kept in `meta`, or ""."""
        value = self._row[key]
        reason = _unlearned(key, value, texts)
        if not reason and not is_blank(value):
            place = f"put it where a row of the format {self._format.name!r} has media"
            reason = unread_medium({key: value}, uris, f"{place} ({self._format.shape})")
        return "" if not reason or key in self._format.ignores(self._row) else reason

    def _error(self, reason: str) -> RecordError:
        return RecordError(self._where, printable(reason))


def unread_medium(values: Mapping[str, Any], uris: Collection[str], todo: str) -> str:
    """Return what is wrong with values that name a medium besides `uris`; "" if none does.

    Args:
        values: keys and values that are not read.
        uris: the media that are read.
        todo: what to do with the medium.
    """
    for key, value in values.items():
        for named in media_named(key, value):
            if named.embedded and named.shown not in uris:
                held = f"{named.place!r} holds a medium ({named.shown})"
                return f"{held} that is in no message; {todo}, or {LEAVE_OUT}"
            if not named.embedded and named.shown not in uris:
                shown = named.shown if len(named.shown) <= 60 else f"{named.shown[:59]}…"
                return (
                    f"{named.place!r} names a medium ({shown!r}) that is in no message; {todo}, or "
                    f"{LEAVE_OUT}"
                )
    return ""


def _unlearned(key: str, value: Any, texts: Collection[str]) -> str:
    """Return what a key says of how or what a model learns that its texts do not, or ""."""
    name = _name(key)
    if name in VERDICTS and isinstance(value, bool):
        reason = f"{key!r} says whether the answer is good, but every answer is learned"
        return f"{reason}; keep the good rows, and remove the key"
    if name == OBJECTS and (found := next(filter(None, map(STAND_IN.search, texts)), None)):
        reason = f"{key!r} holds what {found[0]} stands for in the texts"
        return f"{reason}; write it there as your model shall read it, and remove the key"
    if is_blank(value):
        return ""
    if UNSUPPORTED.fullmatch(name):
        return f"{key!r} is not supported, as nothing of it is trained on; remove the key"
    if TURNS.fullmatch(name) and any(text.strip() not in texts for text in texts_in(value)):
        return f"{key!r} says what no message says; put it into the messages, or remove the key"
    return ""


def speaks(keys: Iterable[str]) -> bool:
    """Return whether any key is one of turns, of a question or of an answer."""
    names = [*keys]
    return spoken(names) or any(QUESTIONS.fullmatch(_name(key)) for key in names)


def spoken(keys: Iterable[str]) -> bool:
    """Return whether any key is one of turns."""
    return any(TURNS.fullmatch(_name(key)) for key in keys)


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts inside a value that are not blank, at any depth."""
    if isinstance(value, str):
        if not is_blank(value):
            yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(inner)


def _said(record: Record) -> Iterator[str]:
    """Yield each text of a record, and the whole text of each message."""
    for message in record.messages:
        texts = [part.text for part in message.content if part.text is not None]
        yield from (text.strip() for text in (*texts, "".join(texts)))


@functools.lru_cache(maxsize=4096)
def _name(key: str) -> str:
    """Return a key in one style: `systemPrompt` is `system_prompt`."""
    return "_".join(words_of(key))
