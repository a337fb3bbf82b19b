"""Any table: options say which columns hold the media, the question and the answer."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import model_validator

from mmmodal.config import suggest
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.addresses import Medium, addresses
from mmmodal.records.beside import Beside
from mmmodal.records.exchange import exchange, origins
from mmmodal.records.foreign import ForeignRow, validated
from mmmodal.records.formats.captions import description
from mmmodal.records.json_text import printable
from mmmodal.records.wording import QuestionOptions, drawn, with_choices

__all__ = ["Columns"]

ABOUT = ("id", "lang", "group", "cluster")
TEXTS = ("question", "answer", "system", *ABOUT, "choices")
"""What a column may hold besides media."""

Names = str | tuple[str, ...]


class ColumnsOptions(QuestionOptions):
    """Which columns hold what. A text `{name}` in a wording or template is the column's value."""

    columns: dict[str, Names]
    """The column, or columns, of each modality, and that of `question`, `answer`, `system`,
    `lang`, `id`, `group`, `cluster` and `choices`: `{audio: audio, answer: sentence}`."""

    answer: str | None = None
    """A template of the answer, as in `"{name}, {city}"`, instead of a column."""

    system: str | None = None
    """The system text of all rows."""

    choices: tuple[str, ...] = ()
    """What all rows choose from, if the answer's column holds the index, from 0, or one of them."""

    ignore: tuple[str, ...] = ()
    """Columns that are kept in `meta`, although they name media or hold turns."""

    @model_validator(mode="after")
    def _is_whole(self) -> ColumnsOptions:
        problems = [*self._problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong with the options together."""
        known = [*registry().names("modalities"), *TEXTS]
        for key in self.columns.keys() - known:
            yield f"columns: {key!r} is neither a modality nor a text{suggest(key, known)}"
        for key in TEXTS:
            if not isinstance(self.columns.get(key, ""), str):
                yield f"columns: {key!r} takes one column"
            if key != "lang" and key in self.columns and getattr(self, key, None):
                yield f"{key!r} and columns.{key} are given; keep one"
        if self.answer is None and "answer" not in self.columns:
            yield "there is no answer; name its column as columns.answer, or write `answer`"
        for text in (*self.wordings, self.answer or ""):
            try:
                [*_fields(text)]
            except ValueError as error:
                yield f"{text!r:.60}: {error}"

    @property
    def wordings(self) -> tuple[str, ...]:
        """The wordings of the question; none if a column has it, or the default is asked."""
        return (self.question,) if isinstance(self.question, str) else self.question

    @property
    def media(self) -> dict[str, tuple[str, ...]]:
        """The columns of each modality, in order."""
        named = ((key, names) for key, names in self.columns.items() if key not in TEXTS)
        return {key: (names,) if isinstance(names, str) else names for key, names in named}


class Columns(Format):
    """Rows of any table, by options: `columns: {audio: clip, answer: sentence}`."""

    name = "columns"
    shape = "any, of which the option `columns` says what is where, and `ignore` what is not used"
    Options = ColumnsOptions
    options: ColumnsOptions

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return False: rows are of this format only where a user names it."""
        return False

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the columns that the options name."""
        texts = (self.options.answer or "", *self.options.wordings)
        named = [name for text in texts for name in _fields(text)]
        named += [name for names in self.options.media.values() for name in names]
        return {*named, *(str(self.options.columns[key]) for key in TEXTS if self._has(key))}

    def ignores(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the columns to ignore, and those that say where the only medium came from."""
        try:
            media = self._media(row)
        except ValueError:
            media = []
        beside = {kind: Beside(kind, (uri,)) for kind, uri in media} if len(media) == 1 else {}
        return {*self.options.ignore, *origins(row, beside)}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row."""
        self._check_columns(row, place.where)
        about = {key: self._value(row, key) for key in (*ABOUT, "expect")}
        rest = {key: value for key, value in row.items() if key not in self.uses(row)}
        own = {key: rest.pop(key) for key in about if key in rest and about[key] is None}
        given = {key: value for key, value in about.items() if value is not None}
        known = validated(ForeignRow, {**own, **given}, place.where)
        lang = known.lang or self.options.lang
        try:
            media = self._media(row)
            question, noted = self._question(row, media, lang, known.id or place.fallback_id)
            answer, expect = self._answer(row), None
            if choices := self._value(row, "choices") or self.options.choices:
                question, answer, expect = with_choices(question, choices, answer, lang)
            system = _text(self._value(row, "system") or self.options.system or "", "system")
            values = exchange(media, question, _text(answer, "answer"), system)
        except ValueError as error:
            raise RecordError(place.where, printable(str(error))) from None
        return [known.record(place, values, expect, lang=lang, meta={**rest, **noted} or None)]

    def _has(self, key: str) -> bool:
        return key in self.options.columns

    def _value(self, row: Mapping[str, Any], key: str) -> Any:
        """Return the value of the column of `question`, `answer` …; None without a column."""
        return row.get(str(self.options.columns[key])) if self._has(key) else None

    def _check_columns(self, row: Mapping[str, Any], where: str) -> None:
        """Check that a row has a value in each column that is named.

        Raises:
            RecordError: it has not; tells of all columns at once.
        """
        free = {str(self.options.columns[key]) for key in ("system", "lang") if self._has(key)}
        absent = sorted(name for name in {*self.uses(row)} - free if row.get(name) is None)
        reasons = [
            f"{name!r} has no value" if name in row else f"no column {name!r}{suggest(name, row)}"
            for name in absent
        ]
        if reasons:
            raise RecordError(where, printable("; ".join(reasons)))

    def _media(self, row: Mapping[str, Any]) -> list[tuple[str, Medium]]:
        """Return (modality, medium) in the order of the options.

        Raises:
            ValueError: a value is no medium.
        """
        found = []
        for kind, names in self.options.media.items():
            for name in names:
                try:
                    uris = addresses(row.get(name), kind)
                except ValueError as error:
                    raise ValueError(f"{name!r}: {error}") from None
                if not uris and not isinstance(row.get(name), list | tuple):
                    raise ValueError(f"{name!r} has no value")
                found += [(kind, uri) for uri in uris]
        return found

    def _question(
        self, row: Mapping[str, Any], media: Sequence[tuple[str, Medium]], lang: str | None, id: str
    ) -> tuple[str, dict[str, Any]]:
        """Return the question of a row, and what `meta` says of it."""
        if self._has("question"):
            return _text(self._value(row, "question"), "question"), {}
        if not self.options.question:
            if not media:
                raise ValueError("there is no question; name its column, or write `question`")
            return description(media[0][0], lang), {}
        wording, noted = drawn(self.options.question, self.options.seed, id)
        return _filled(wording, row), noted

    def _answer(self, row: Mapping[str, Any]) -> Any:
        if self.options.answer is not None:
            return _filled(self.options.answer, row)
        return self._value(row, "answer")


def _fields(template: str) -> Iterator[str]:
    """Yield the names of the columns in a template.

    Raises:
        ValueError: it has a brace that stands for nothing.
    """
    hint = "write {{ and }} for braces that are text"
    try:
        pieces = [*string.Formatter().parse(template)]
    except ValueError:
        raise ValueError(f"a brace is open; {hint}") from None
    for _, name, spec, conversion in pieces:
        if name is None:
            continue
        if not name or spec or conversion:
            raise ValueError(f"{{}} must hold the name of a column; {hint}")
        yield name


def _filled(template: str, row: Mapping[str, Any]) -> str:
    """Return a template with the values of a row."""
    pieces = []
    for text, name, _, _ in string.Formatter().parse(template):
        pieces += [text, "" if name is None else _text(row.get(name), name)]
    return "".join(pieces)


def _text(value: Any, name: str) -> str:
    """Return a value as text.

    Raises:
        ValueError: it is neither text nor number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name!r} must be a text or a number, got {value!r:.60}")
    return str(value)
