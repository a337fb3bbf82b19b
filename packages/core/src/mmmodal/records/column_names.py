"""Options that name the columns of rows, in the words of LLaMA-Factory's `dataset_info.json`."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from mmmodal.config import Config, suggest
from mmmodal.errors import RecordError
from mmmodal.records.beside import list_keys
from mmmodal.records.inline import Turn
from mmmodal.records.json_text import parse_json, printable
from mmmodal.records.naming import is_blank

__all__ = ["ColumnNames", "opened"]

SYSTEM, TOOLS = "system", "tools"
MEDIA = frozenset({"images", "videos", "audios"})
"""Keys of media that are known whether or not a plugin for them is installed."""

UNSUPPORTED = {
    "chosen": "preferences are not trained on",
    "rejected": "preferences are not trained on",
    "kto_tag": "every answer is learned, also a bad one",
}


class ColumnNames(Config):
    """The names of columns. What is not named is in the column of its usual name."""

    usual: ClassVar[Mapping[str, str]] = {}
    """The usual column of each text."""

    columns: dict[str, str] = Field(default={})
    """Columns of other names, of texts and of the media of each modality:
    `{messages: talk, images: pictures}`."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        if problems := [*cls._problems(columns)]:
            raise ValueError("; ".join(problems))
        return columns

    @classmethod
    def _problems(cls, columns: Mapping[str, str]) -> Iterator[str]:
        known = [*cls.usual, SYSTEM, TOOLS, *sorted({*list_keys(), *MEDIA})]
        for key, column in columns.items():
            if key in UNSUPPORTED:
                yield f"{key!r} is not supported, as {UNSUPPORTED[key]}; leave it out"
            elif key not in known:
                yield f"unknown key {key!r}{suggest(key, known)}"
            elif [*columns.values()].count(column) > 1:
                yield f"{key!r} has the column {column!r} of another key; name each column once"

    def column(self, key: str) -> str:
        """Return the column of a text; none, "", if its usual one is named for something else."""
        if key in self.columns:
            return self.columns[key]
        return "" if self.usual[key] in self.columns.values() else self.usual[key]

    @functools.cached_property
    def media(self) -> dict[str, str]:
        """The modality of each column that lists media."""
        named = {
            column: list_keys()[key] for key, column in self.columns.items() if key in list_keys()
        }
        taken = {*named.values()}
        usual = {
            key: kind
            for key, kind in list_keys().items()
            if kind not in taken and key not in self.columns.values()
        }
        return usual | named

    @functools.cached_property
    def read(self) -> frozenset[str]:
        """The columns that are read: of texts, media, and of the system text if it is named."""
        texts = {self.column(key) for key in self.usual} | {self.columns.get(SYSTEM, "")}
        return frozenset({*texts, *self.media} - {""})

    def media_column(self, kind: str) -> str:
        """Return the column of a modality's media, to write them; by default its name."""
        named = [column for column, held in self.media.items() if held == kind]
        return named[0] if named and kind not in named else kind

    def check(self, row: Mapping[str, Any], where: str) -> None:
        """Check that the columns that cannot be read are empty.

        Raises:
            RecordError: one has a value.
        """
        for key in sorted({TOOLS, *MEDIA} & self.columns.keys() - list_keys()):
            column = self.columns[key]
            if not is_blank(row.get(column)):
                why = "are not supported" if key == TOOLS else "no installed plugin reads"
                reason = f"{column!r} holds {key}, which {why}; leave out such rows"
                raise RecordError(where, printable(reason))

    def with_system(
        self, turns: Sequence[Turn], row: Mapping[str, Any], where: str
    ) -> Sequence[Turn]:
        """Return turns with the text of the named system column as the first.

        Raises:
            RecordError: it is no text, or not that of the system turn.
        """
        column = self.columns.get(SYSTEM)
        text = row.get(column) if column else None
        if is_blank(text):
            return turns
        if not isinstance(text, str):
            raise RecordError(where, f"{column!r} must be a text, the system prompt")
        if not turns or turns[0].role != "system":
            return [Turn("system", text, repr(column)), *turns]
        if turns[0].text.strip() != text.strip():
            reason = f"{column!r} and the system turn differ; keep one of them"
            raise RecordError(where, printable(reason))
        return turns


def opened(value: Any, column: str, where: str) -> Any:
    """Return the value of a column whose structure a table may hold as JSON text.

    Raises:
        RecordError: it is a text, but not JSON.
    """
    if not isinstance(value, str) or is_blank(value):
        return value
    try:
        return parse_json(value, where)
    except RecordError as error:
        raise RecordError(where, f"{column!r}: {error.reason}") from None
