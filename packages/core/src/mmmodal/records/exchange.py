"""Rows of media with texts beside, which become a question and its answer."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from mmmodal.contracts.format import Format, Place
from mmmodal.errors import RecordError
from mmmodal.media.source import Source
from mmmodal.records.addresses import Medium
from mmmodal.records.beside import Beside, list_keys, media_beside
from mmmodal.records.foreign import ForeignRow, validated
from mmmodal.records.naming import is_blank, kind_of, words_of
from mmmodal.records.remainder import speaks

__all__ = ["ExchangeFormat", "exchange", "has_media", "media_of", "named_files", "text_of"]

FILE = re.compile(r"(?:file_?)?(?:names?|paths?)|files?")
"""Keys of media whose modality the endings of files tell, as in the `metadata.jsonl` of a folder,
or a word before: `file_name`, `path`, `audio_filepath`."""

NO_FILES = frozenset({"name", "names"})
PATHS = frozenset({"path", "file", "filename", "filepath", "name"})
REMOTE = re.compile(r"https?://", re.IGNORECASE)


class ExchangeFormat(Format):
    """A format of rows with media under their names, and texts under some keys."""

    @abstractmethod
    def keys(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of a row that are read besides media, id, language and group."""

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of media and texts, and those that all records have."""
        used = {*list_keys(), *self.keys(row), *ForeignRow.model_fields}
        return used | {each.key for each in _media(row).values()}

    def ignores(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys that say where the only medium came from."""
        return {*origins(row, _media(row))}

    def opened(
        self, row: Mapping[str, Any], place: Place
    ) -> tuple[ForeignRow, list[tuple[str, Medium]]]:
        """Return what all rows have, with the keys that are not read, and the media of a row.

        Raises:
            RecordError: a value of them is not valid.
        """
        beside = media_of(row, place.where)
        media = [(kind, uri) for kind, each in beside.items() for uri in each.uris]
        used = {*self.uses(row)} - {*ForeignRow.model_fields}
        about = {key: value for key, value in row.items() if key not in used}
        return validated(ForeignRow, about, place.where), media


def has_media(row: Mapping[str, Any]) -> bool:
    """Return whether a row holds media and neither turns nor questions."""
    given = [key for key, value in row.items() if value is not None]
    return not speaks(given) and (
        any(key in list_keys() for key in given) or bool(named_files(row))
    )


def _media(row: Mapping[str, Any]) -> dict[str, Beside]:
    try:
        return media_of(row, "")
    except RecordError:  # it is told when the row is read
        return {}


def media_of(row: Mapping[str, Any], where: str) -> dict[str, Beside]:
    """Return the media of a row by modality, in the order of its keys.

    Raises:
        RecordError: a value is no medium, or two keys of a modality differ.
    """
    found = {kind: each for kind, each in media_beside(row, where).items() if each.uris}
    return found or named_files(row)


def named_files(row: Mapping[str, Any]) -> dict[str, Beside]:
    """Return the media of a row under the first key of each modality that names files."""
    found: dict[str, Beside] = {}
    for key, value in row.items():
        names = [value] if isinstance(value, str) else value
        is_named = isinstance(names, list | tuple) and all(isinstance(each, str) for each in names)
        if is_named and names and (kind := _kind_of_files(key, names)):
            found.setdefault(kind, Beside(key, tuple(names)))
    return found


def _kind_of_files(key: str, names: Sequence[str]) -> str | None:
    """Return the modality of the files that a key names; None if it names none."""
    words = words_of(key)
    told = words[0] if len(words) > 1 and words[0] in list_keys() else None
    rest = "_".join(words[1:] if told else words)
    if rest in NO_FILES or not FILE.fullmatch(rest):
        return None
    kinds = {list_keys()[told]} if told else {*map(kind_of, names)}
    return kinds.pop() if len(kinds) == 1 else None


def origins(row: Mapping[str, Any], beside: Mapping[str, Beside]) -> Iterator[str]:
    """Yield the keys that say where the only medium of a row came from.

    These are the name of its file, `path: clip_1.mp3` of Common Voice, and the address from which
    it was downloaded, `url: https://…` of img2dataset.

    Args:
        row: the row.
        beside: its media.
    """
    media = [(kind, uri) for kind, each in beside.items() for uri in each.uris]
    if len(media) != 1:
        return
    (kind, medium) = media[0]
    for key, value in row.items():
        words = words_of(key)
        if not isinstance(value, str) or key in list_keys() or not words:
            continue
        about = {*words[:-1]} <= {kind, "file", "original", "coco", "flickr"}
        is_link = words[-1] in ("url", "link") and REMOTE.match(value)
        if about and (is_link or (words[-1] in PATHS and _is_name(value, medium))):
            yield key


def exchange(
    media: Sequence[tuple[str, Medium]], question: str, answer: str, system: str = ""
) -> dict[str, Any]:
    """Return `messages` and `media` of a record: media and a question about them, and its answer.

    Args:
        media: (modality, medium) in order; they stand before the question.
        question: the text of the user.
        answer: the text of the assistant.
        system: the system text, if there is one.
    """
    parts: list[dict[str, Any]] = [
        {"type": kind, "media": index} for index, (kind, _) in enumerate(media)
    ]
    asked = [*parts, {"type": "text", "text": question}]
    messages = [_message("system", [{"type": "text", "text": system}])] if system else []
    messages += [
        _message("user", asked),
        _message("assistant", [{"type": "text", "text": answer}]),
    ]
    return {"messages": messages, "media": [{"kind": kind, "uri": uri} for kind, uri in media]}


def text_of(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, Any]:
    """Return the key and value of the text of a row.

    Args:
        row: the row.
        keys: where it may be.

    Raises:
        ValueError: there is none, or there are several that differ.
    """
    given = {key: row[key] for key in keys if not is_blank(row.get(key))}
    if not given:
        raise ValueError(f"there is no text under {' or '.join(map(repr, keys))}; fill it")
    key, value = next(iter(given.items()))
    if any(other != value for other in given.values()):
        found = " or ".join(map(repr, given))
        raise ValueError(f"its text may be {found}; choose one with the format 'columns'")
    return key, value


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": content}


def _is_name(value: str, medium: Medium) -> bool:
    """Return whether a text may be the name of the file that a medium was."""
    name = medium.name if isinstance(medium, Source) else medium
    return not name or _last(name) == _last(value)


def _last(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name
