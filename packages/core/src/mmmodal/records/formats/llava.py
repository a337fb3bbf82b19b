"""LLaVA's rows: `image` and `conversations` of `from` and `value`, with `<image>` in the text.

Those of ShareGPT and LLaMA-Factory with `images`, `audios` and so on are of the same form, also
where their columns, and the keys and roles of their turns, have other names.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from mmmodal.config import Config
from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.beside import media_beside, read_beside
from mmmodal.records.column_names import ColumnNames, opened
from mmmodal.records.foreign import ForeignRow, complete, expectation, validated
from mmmodal.records.inline import Marker, Turn, mark_text, markers, paths_by_kind
from mmmodal.records.json_text import printable

__all__ = ["Llava"]

KIND = "image"
"""The modality whose marker always counts; that of another one does if the row lists its media."""

MESSAGES = "messages"
EXPECT = "expect"


class TagNames(Config):
    """The keys of a turn, and the words for who speaks."""

    role_tag: str = "from"
    """The key of who speaks."""

    content_tag: str = "value"
    """The key of the text."""

    user_tag: str = "human"
    assistant_tag: str = "gpt"
    system_tag: str = "system"
    function_tag: str = "function_call"
    """The word for a call of a tool; rows with one are refused."""

    observation_tag: str = "observation"
    """The word for the result of a tool; rows with one are refused."""

    @functools.cached_property
    def roles(self) -> dict[str, str]:
        """The role of each word; the roles' own names are understood too."""
        own = {self.user_tag: "user", self.assistant_tag: "assistant", self.system_tag: "system"}
        return {role: role for role in own.values()} | own

    @functools.cached_property
    def tools(self) -> set[str]:
        """The words for turns that are not supported."""
        return {self.function_tag, self.observation_tag}


class LlavaOptions(ColumnNames):
    """What columns and tags are called, as in LLaMA-Factory's `dataset_info.json`."""

    usual: ClassVar[Mapping[str, str]] = {MESSAGES: "conversations"}

    tags: TagNames = TagNames()
    """The keys and roles of turns: `{role_tag: role, content_tag: content}`."""


class Llava(Format):
    """`{"id", "image": path or paths, "conversations": [{"from", "value"}]}`, also of `audios`."""

    name = "llava"
    shape = "`conversations` of `from` and `value`, with `image` or `images`, `audios` …"
    structured = ("conversations",)
    Options: ClassVar[type[Config]] = LlavaOptions
    options: LlavaOptions

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a turn has `from`."""
        turns = row.get(self._messages)
        return isinstance(turns, list) and any(
            isinstance(turn, Mapping) and self.options.tags.role_tag in turn for turn in turns
        )

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return `conversations`, the lists of media and the keys that all records have."""
        return {*self.options.read, *ForeignRow.model_fields}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; the markers of media that it does not list are text."""
        self.options.check(row, place.where)
        about = {key: row[key] for key in row.keys() - self.options.read}
        known = validated(ForeignRow, about, place.where)
        turns = self.options.with_system(self._turns(row, place.where), row, place.where)
        beside = media_beside(row, place.where, self.options.media)
        values = read_beside(turns, beside, place.where, {KIND, *beside})
        given = opened(row[self._messages], self._messages, place.where)
        # There may be a system turn in front of those of the row.
        for message, turn in zip(values["messages"][-len(given) :], given, strict=True):
            message["expect"] = turn.get(EXPECT)
        return [known.record(place, values)]

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; the media of each modality are under its name."""
        (record,) = records
        kinds = {KIND, *(ref.kind for ref in record.media)}
        marks = tuple(mark for mark in markers() if mark.kind in kinds)
        media = {
            self.options.media_column(kind): paths[0] if len(paths) == 1 else paths
            for kind, paths in sorted(paths_by_kind(record).items())
        }
        row = {"id": record.id, **media, **self.marked(record, marks, where)}
        return complete(row, record, self, where)

    def marked(self, record: Record, marks: Sequence[Marker], where: str) -> dict[str, Any]:
        """Return the key and value of the turns of a record."""
        tags = self.options.tags
        speakers = {role: word for word, role in tags.roles.items()}
        turns = [
            {
                tags.role_tag: speakers[message.role],
                tags.content_tag: mark_text(message, marks, where),
            }
            | expectation(message)
            for message in record.messages
        ]
        return {self._messages: turns}

    @property
    def _messages(self) -> str:
        """The column of the turns."""
        return self.options.column(MESSAGES)

    def _turns(self, row: Mapping[str, Any], where: str) -> list[Turn]:
        column = self._messages
        if row.get(column) is None:
            raise RecordError(where, f"{column!r} is missing")
        given = opened(row[column], column, where)
        if not isinstance(given, list) or not given:
            raise RecordError(where, f"{column!r} must be a list of turns, with at least one")
        return [self._turn(turn, f"{column}.{index}", where) for index, turn in enumerate(given)]

    def _turn(self, given: Any, field: str, where: str) -> Turn:
        """Return a turn; raises a RecordError for one that says more or less than role and text."""
        tags = self.options.tags
        if not isinstance(given, Mapping):
            reason = f"'{field}' must be an object of {tags.role_tag!r} and {tags.content_tag!r}"
            raise RecordError(where, reason)
        values = {key: value for key, value in given.items() if value is not None}
        for key in (tags.role_tag, tags.content_tag):
            if key not in values:
                raise RecordError(where, f"'{field}.{key}' is missing")
            if not isinstance(values[key], str):
                raise RecordError(where, f"'{field}.{key}' must be a text")
        known = (tags.role_tag, tags.content_tag, EXPECT)
        if unknown := [key for key in values if key not in known]:
            raise RecordError(where, printable(f"'{field}': unknown key {unknown[0]!r}; remove it"))
        role = self._role(values[tags.role_tag], f"'{field}.{tags.role_tag}'", where)
        return Turn(role, values[tags.content_tag], f"'{field}.{tags.content_tag}'")

    def _role(self, word: str, field: str, where: str) -> str:
        tags = self.options.tags
        if word in tags.roles:
            return tags.roles[word]
        if word in tags.tools:
            reason = f"is {word!r}, a call of a tool or its result, which are not supported"
            raise RecordError(where, printable(f"{field} {reason}; leave out such rows"))
        known = f"{tags.user_tag!r}, {tags.assistant_tag!r} or {tags.system_tag!r}"
        raise RecordError(where, printable(f"{field}: it must be {known}, got {word!r:.60}"))
