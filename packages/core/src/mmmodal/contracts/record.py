"""The unit of data: messages of typed parts, and the media that parts refer to by index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, SkipValidation, model_validator

from mmmodal.config import Config
from mmmodal.media.source import Source

__all__ = ["ContentPart", "Expectation", "MediaRef", "Message", "Record", "text_message"]

Role = Literal["system", "user", "assistant"]


class ContentPart(Config):
    """One part of a message: text, or a medium of the modality `type`."""

    type: str
    text: str | None = None
    media: int | None = None
    """The index of the medium in the record's media."""

    @model_validator(mode="after")
    def _holds_what_its_type_says(self) -> ContentPart:
        if self.type == "text" and (self.text is None or self.media is not None):
            raise ValueError("a text part has `text` and nothing else")
        if self.type != "text" and (self.media is None or self.text is not None):
            raise ValueError(
                f"a part of type {self.type!r} has `media`, the index of its medium, and no `text`"
            )
        return self


class Expectation(Config):
    """How an answer to this turn is scored, where it is not compared with the turn's text.

    What is null counts as absent, options too, as tables fill what a row does not say.
    """

    scored: bool = True
    """Whether the answer is scored at all."""

    scorer: str | None = None
    """The name of the scorer; None: the one that the evaluation uses for all."""

    options: dict[str, Any] = Field(default_factory=dict)
    """The options of the scorer."""

    references: tuple[str, ...] = ()
    """The right answers, any of which will do; by default the text of the turn."""

    choices: tuple[str, ...] = ()
    """The answers to choose from."""

    tags: tuple[str, ...] = ()
    """Names of groups of questions, each of which gets figures of its own."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        given = _not_null(values)
        options = given.get("options") if isinstance(given, Mapping) else None
        return {**given, "options": _not_null(options)} if options else given


class Message(Config):
    """One turn of a conversation."""

    role: Role
    content: tuple[ContentPart, ...]
    expect: Expectation | None = None
    """How an answer is scored in place of this one, of the assistant; training does not read it."""

    @model_validator(mode="after")
    def _expects_answers_only(self) -> Message:
        if self.expect is not None and self.role != "assistant":
            raise ValueError("`expect` says how an answer is scored; put it on an assistant turn")
        return self

    @property
    def text(self) -> str:
        """The texts of its parts, joined."""
        return "".join(part.text or "" for part in self.content)


class MediaRef(Config):
    """The location of a medium: a path under the data root, a data URI, or where a row holds it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    kind: str
    """The modality: `image`, `audio`, or one of a plugin."""

    uri: str
    """The path or URI; a description for users of a medium that is `held`."""

    sha256: str | None = None
    held: SkipValidation[Source] | None = Field(None, exclude=True, repr=False)
    """The source of the medium, if the row holds it; it is no part of the record as text."""

    @model_validator(mode="before")
    @classmethod
    def _described(cls, values: Any) -> Any:
        held = values.get("uri") if isinstance(values, Mapping) else None
        if isinstance(held, Source):
            return {**values, "uri": held.origin, "held": held}
        return values

    @property
    def address(self) -> str | Source:
        """What names the bytes of the medium: their source if the row holds it, else its URI."""
        return self.uri if self.held is None else self.held


class Record(Config):
    """One conversation with its media."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    media: tuple[MediaRef, ...] = ()
    lang: str | None = None
    group: str | None = None
    """Records of the same group are put into the same split."""

    cluster: str | None = None
    """Records of the same cluster are not independent of each other in statistics, as those about
    the same picture; by default, records that share a medium are one cluster."""

    meta: dict[str, Any] | None = None
    """Further data, which are kept unchanged."""

    @model_validator(mode="after")
    def _parts_and_media_agree(self) -> Record:
        parts = [part for message in self.messages for part in message.content]
        used = [part for part in parts if part.type != "text"]
        for part in used:
            index = part.media
            if index is None or not 0 <= index < len(self.media):
                raise ValueError(
                    f"a part refers to medium {index}, but the record has {len(self.media)} media"
                )
            if self.media[index].kind != part.type:
                raise ValueError(
                    f"a part of type {part.type!r} refers to medium {index}, "
                    f"which is {self.media[index].kind!r}"
                )
        unused = set(range(len(self.media))) - {part.media for part in used}
        if unused:
            raise ValueError(f"no message refers to medium {min(unused)}")
        return self


def _not_null(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {key: value for key, value in values.items() if value is not None}


def text_message(role: Role, text: str) -> Message:
    """Return a message that consists of one text."""
    return Message(role=role, content=(ContentPart(type="text", text=text),))
