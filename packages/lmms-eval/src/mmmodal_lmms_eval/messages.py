"""Messages of lmms-eval's chat protocol, as records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmmodal.authoring.media import Audio, Image
from mmmodal.authoring.parts import MMModalError, RecordError
from mmmodal.authoring.records import ContentPart, MediaRef, Message, Record
from mmmodal_lmms_eval.media import modality_of, source_of

__all__ = ["question", "record_of"]

ROLES = ("system", "user", "assistant")
OF_TEXT = {"type", "text"}
OF_MEDIA = {"type", "url"}


def question(visuals: Sequence[Any], text: str) -> list[dict[str, Any]]:
    """Return the messages of a question whose media stand in front of its text.

    Args:
        visuals: what a task returns as such: Pillow's images, decoded sound, paths, mappings with
            a `type`.
        text: the question.
    """
    media = [{"type": _kind(visual), "url": visual} for visual in visuals]
    return [{"role": "user", "content": [*media, {"type": "text", "text": text}]}]


def _kind(visual: Any) -> str:
    """Return what lmms-eval takes a visual for; what it cannot tell is a video."""
    if isinstance(visual, Mapping):
        return str(visual.get("type", "video"))
    if not isinstance(visual, str):
        return Image.name
    ending = Path(visual).suffix.lower()
    kinds = (each.name for each in (Image, Audio) if ending in each.endings)
    return next(kinds, "video")


def record_of(messages: Any, where: str, modalities: Collection[str]) -> Record:
    """Return the record of messages, the last of which asks.

    Args:
        messages: `[{"role": …, "content": [{"type": "text", "text": …}, {"type": "image", "url":
            …}]}]`; a content may be one text.
        where: the task and document, for errors and as the record's id.
        modalities: those of the model.

    Raises:
        RecordError: a message or part has another form, or is of a modality that the model lacks.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise RecordError(where, f"its messages are {messages!r:.80}; return a list of them")
    reading = _Reading(where, modalities)
    read = tuple(reading.message(each) for each in messages)
    if read[-1].role != "user":
        reading.refuse(f"its last message is of the {read[-1].role}; the user's must be the last")
    return Record(id=where, messages=read, media=tuple(reading.media))


class _Reading:
    """The messages of one document while they are read."""

    def __init__(self, where: str, modalities: Collection[str]) -> None:
        self._where, self._modalities = where, modalities
        self.media: list[MediaRef] = []

    def message(self, given: Any) -> Message:
        """Return a message; its media are added to those of the document."""
        role = given.get("role") if isinstance(given, Mapping) else None
        if role not in ROLES:
            self.refuse(f"a message has the role {role!r:.40}; give one of {', '.join(ROLES)}")
        self._check_keys(given, {"role", "content"}, "a message")
        content = given.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, Sequence):
            self.refuse(f"a message has the content {content!r:.80}; give a list of parts")
        return Message(role=role, content=tuple(map(self._part, content)))

    def refuse(self, reason: str) -> None:
        """Raise a RecordError of the document."""
        raise RecordError(self._where, reason)

    def _part(self, given: Any) -> ContentPart:
        kind = given.get("type") if isinstance(given, Mapping) else None
        if not isinstance(kind, str):
            self.refuse(f"a part is {given!r:.80}; give a mapping that has a type")
        if kind == "text":
            self._check_keys(given, OF_TEXT, "a text")
            if not isinstance(given.get("text"), str):
                self.refuse(f"a text is {given.get('text')!r:.80}")
            return ContentPart(type="text", text=given["text"])
        return self._medium(str(kind), given)

    def _medium(self, kind: str, given: Mapping[str, Any]) -> ContentPart:
        value = given.get("url")
        modality = modality_of(kind, value)
        if modality not in self._modalities:
            known = ", ".join(self._modalities) or "none"
            self.refuse(f"it shows {modality}, which this model does not know (known: {known})")
        self._check_keys(given, OF_MEDIA, f"a part of type {kind}")
        if isinstance(value, Mapping):
            # lmms-eval passes on what tasks say of a film's part.
            self._check_keys(value, {*value} - {"video_start", "video_end"}, f"its {modality}")
        origin = f"{modality} {len(self.media) + 1}"
        try:
            source = source_of(modality, value, origin)
        except MMModalError as error:
            raise RecordError(self._where, str(error)) from error
        self.media.append(MediaRef(kind=modality, uri=source))
        return ContentPart(type=modality, media=len(self.media) - 1)

    def _check_keys(self, given: Mapping[str, Any], known: Collection[str], what: str) -> None:
        """Refuse what a mapping says beside the known keys."""
        if more := [key for key, value in given.items() if key not in known and value is not None]:
            self.refuse(f"{what} has {', '.join(map(repr, more))}, which cannot act")
