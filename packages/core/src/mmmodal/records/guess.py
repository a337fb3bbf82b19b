"""Guess how the rows of a file become records: a format, or which columns hold what."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.media.source import Source
from mmmodal.plugins import registry
from mmmodal.records.beside import list_keys
from mmmodal.records.detection import find_format, formats, read_row
from mmmodal.records.files import open_rows
from mmmodal.records.json_text import printable
from mmmodal.records.naming import is_blank, kind_of, media_named, words_of

__all__ = ["Guess", "guess"]

ROWS = 100
"""The number of rows that are looked at."""

COLUMNS = "columns"

QUESTIONS = ("question", "query", "prompt", "instruction", "problem", "input")
ANSWERS = (
    *("answer", "sentence", "transcription", "transcript", "caption", "text", "response", "output"),
    *("completion", "description", "solution", "target", "label", "labels", "title", "name"),
)
OTHERS = {
    "lang": ("lang", "locale", "language"),
    "choices": ("choices", "options"),
    "system": ("system", "system_prompt"),
    "id": ("id", "uid", "key"),
}
"""The names of columns that hold a text of a record, the likeliest first."""

LINK = re.compile(r"https?://\S+$")
SHORT = 8
"""The number of letters that a language's code may have."""


@dataclass
class Guess:
    """How the rows of a file become records, and why."""

    format: str
    options: dict[str, Any] = field(default_factory=dict)
    """The options of the format."""

    reasons: list[str] = field(default_factory=list)
    records: list[tuple[str, Record]] = field(default_factory=list)
    """The records of the first rows, with their positions."""


def guess(path: Path) -> Guess:
    """Return how the first rows of a file become records.

    Raises:
        RecordError: the file has no rows, or nothing in them is known; says what was found.
    """
    rows = [(row.where, row.read()) for row in itertools.islice(open_rows(path), ROWS)]
    if not rows:
        raise RecordError(printable(path), "it has no rows")
    found = _known(rows, path) or _by_columns(rows, path)
    form = find_format(found.format, found.options)
    for number, (where, values) in enumerate(rows, start=1):
        try:
            _, records = read_row(values, Place(where, f"{path.stem}-{number}"), form)
        except RecordError as error:
            found.reasons.append(f"not read: {error}")
            continue
        found.records += [(where, record) for record in records]
    return found


def _known(rows: Sequence[tuple[str, dict[str, Any]]], path: Path) -> Guess | None:
    """Return the format that rows are found to be of; None unless it reads most of them."""
    names: Counter[str] = Counter()
    for where, values in rows:
        try:
            names[read_row(values, Place(where, path.stem))[0].name] += 1
        except RecordError:
            continue
    if not names or names.total() * 2 <= len(rows):
        return None
    name, number = names.most_common(1)[0]
    reason = f"{number} of {len(rows)} rows have the keys of {name}: {formats()[name].shape}"
    others = [
        f"{count} are of the format {other}" for other, count in names.items() if other != name
    ]
    return Guess(name, reasons=[reason, *others])


def _by_columns(rows: Sequence[tuple[str, dict[str, Any]]], path: Path) -> Guess:
    """Return which columns hold what, by their names and values."""
    values = _columns([row for _, row in rows])
    found = Guess(COLUMNS)
    columns: dict[str, Any] = {}
    for name, column in values.items():
        if kind := _kind(name, column):
            columns.setdefault(kind, []).append(name)
            found.reasons.append(f"{name!r} holds media of the modality {kind}")
    taken = [name for names in columns.values() for name in names]
    columns = {kind: names[0] if len(names) == 1 else names for kind, names in columns.items()}
    texts = [name for name, column in values.items() if name not in taken and _is_text(column)]
    for key, names in (("question", QUESTIONS), ("answer", ANSWERS), *OTHERS.items()):
        if (likeliest := _likeliest(key, names, values, texts)) is not None:
            columns[key] = likeliest
            found.reasons.append(f"{likeliest!r} is the {key}, by its name")
            taken.append(likeliest)
    if "answer" not in columns:
        rest = [name for name in texts if name not in taken]
        if not rest:
            known = ", ".join(map(repr, values)) or "none"
            raise RecordError(printable(path), f"no column is an answer, of these: {known}")
        columns["answer"] = max(rest, key=lambda name: _length(values[name]))
        found.reasons.append(f"{columns['answer']!r} is the answer: its texts are the longest")
        taken.append(columns["answer"])
    if "question" not in columns and not {*columns} & {*registry().names("modalities")}:
        known = ", ".join(map(repr, values))
        raise RecordError(
            printable(path), f"no column is a question or a medium, of these: {known}"
        )
    found.options = {"columns": columns}
    _ignore(found, rows, taken)
    return found


def _ignore(found: Guess, rows: Sequence[tuple[str, dict[str, Any]]], taken: Sequence[str]) -> None:
    """Add the columns that seem to hold further media, for which rows would be refused."""
    form = find_format(COLUMNS, found.options)
    ignored = {*form.ignores(rows[0][1])}
    for name in dict.fromkeys(key for _, row in rows for key in row):
        if name in taken or name in ignored:
            continue
        if any(True for _, row in rows for _ in media_named(name, row.get(name))):
            found.options.setdefault("ignore", []).append(name)
            found.reasons.append(f"{name!r} seems to name media, which are not used")


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each column that are not empty."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in row.items():
            found.setdefault(key, [])
            if isinstance(value, Source) or not is_blank(value):
                found[key].append(value)
    return {key: values for key, values in found.items() if values}


def _kind(name: str, column: Sequence[Any]) -> str | None:
    """Return the modality of a column of media, by its values' names or its own; None if none."""
    value = column[0][0] if isinstance(column[0], list | tuple) and column[0] else column[0]
    if isinstance(value, Mapping):
        value = value.get("path") or value.get("bytes") or value.get("array")
    if not isinstance(value, str | bytes | Source) and not hasattr(value, "__len__"):
        return None
    file = value.name if isinstance(value, Source) else value if isinstance(value, str) else ""
    if file and " " not in file and (kind := kind_of(file)):
        return None if "://" in file else kind
    if isinstance(value, str):
        return list_keys().get(name) if "/" in value and " " not in value else None
    kinds = [
        kind for kind in registry().names("modalities") if {kind, f"{kind}s"} & {*words_of(name)}
    ]
    return kinds[0] if kinds else kind_of(f".{name}")


def _likeliest(
    key: str, names: Sequence[str], values: Mapping[str, Sequence[Any]], texts: Sequence[str]
) -> str | None:
    """Return the column that holds a text of a record, by its name; None if none seems to."""
    for name in names:
        for column, found in values.items():
            named = column.lower() == name or words_of(column)[-1:] == (name,)
            if named and _may_be(key, found, column in texts):
                return column
    return None


def _may_be(key: str, column: Sequence[Any], is_text: bool) -> bool:
    """Return whether the values of a column may be what its name says."""
    if key == "choices":
        return all(isinstance(each, list) for each in column)
    return is_text and (key != "lang" or all(len(str(each)) <= SHORT for each in column))


def _is_text(column: Sequence[Any]) -> bool:
    return all(isinstance(value, str | int | float) and not _is_link(value) for value in column)


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and LINK.match(value) is not None


def _length(column: Sequence[Any]) -> float:
    return sum(len(str(value)) for value in column) / len(column)
