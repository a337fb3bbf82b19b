"""The bilingual row that every step of the pipeline reads and writes, with its origins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from mmmodal.authoring.parts import Config

__all__ = ["Call", "Gate", "Medium", "Origin", "Piece", "Relation", "Row", "Turn"]

Role = Literal["system", "user", "assistant"]
Relation = Literal["related", "unrelated", "unclear"]


class Piece(Config):
    """One piece of a turn: text in one or both languages, or a medium of the row by index."""

    type: str
    """`text`, or the modality of the medium."""

    text: str | None = None
    """The original text, in the language `lang`."""

    text_ms: str | None = None
    """The text in Malay; None until it is translated."""

    lang: str | None = None
    """The language of `text`, if known: `en`, `ms`."""

    media: int | None = None
    """Index into the row's media."""

    @model_validator(mode="after")
    def _holds_what_its_type_says(self) -> Piece:
        if self.type == "text" and (self.text is None or self.media is not None):
            raise ValueError("a text has `text` and no `media`")
        if self.type != "text" and (self.media is None or self.text is not None):
            raise ValueError(f"a piece of type {self.type!r} has `media`, the index of its medium")
        return self


class Turn(Config):
    """One turn of a conversation."""

    role: Role
    content: tuple[Piece, ...]


class Medium(Config):
    """One medium: its path, and what is known about it."""

    kind: str
    uri: str
    """A path below the data root, or a data URI."""

    sha256: str | None = None
    start_s: float | None = None
    """The start of a clip in its recording, in seconds."""

    end_s: float | None = None
    description: str | None = None
    """Its content as text: a caption, a transcript, a record of facts."""

    description_source: Literal["asr", "caption", "metadata"] | None = None
    lang: str | None = None
    """The language spoken in it, or of its description."""

    facts: dict[str, Any] | None = None
    """The metadata record that came with it."""


class Gate(Config):
    """One check of a row: the measured value and its threshold."""

    name: str
    value: float
    threshold: float | None = None
    passed: bool


class Call(Config):
    """One call to a model."""

    backend: str
    model: str
    revision: str | None = None
    parameters: dict[str, Any] = Field({})
    prompt_sha256: str
    request_sha256: str
    """The key of the answer in the replay store."""

    attempt: int = 0
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Origin(Config):
    """One step that made or changed a row, and its calls."""

    step: str
    version: str
    fingerprint: str
    """The digest of the step's options, models and seed, and of all steps before it."""

    calls: tuple[Call, ...] = ()


class Row(Config):
    """One unit of work: a recording, a clip, an image, a dialogue or a session.

    A row whose last turn is the user's is a question without an answer.
    """

    id: str = ""
    """Empty in a new row; the run derives an id from step and parents."""

    kind: str
    """`recording`, `clip`, `image`, `audio_qa`, `visual_qa`, `relationship` or `session`."""

    turns: tuple[Turn, ...] = ()
    media: tuple[Medium, ...] = ()
    relation: Relation | None = None
    parents: tuple[str, ...] = ()
    groups: tuple[str, ...] = Field(min_length=1)
    """What must stay in one split: a name for each recording or image of the row."""

    metrics: dict[str, float] = Field({})
    gates: tuple[Gate, ...] = ()
    origins: tuple[Origin, ...] = ()
    licence: str | None = None
    source_url: str | None = None
    synthetic: bool = True
    meta: dict[str, Any] | None = None
    """Passed through unchanged."""

    @model_validator(mode="after")
    def _pieces_and_media_agree(self) -> Row:
        for piece in self.pieces():
            if piece.media is None:
                continue
            if not 0 <= piece.media < len(self.media):
                reason = f"it refers to medium {piece.media}, but has {len(self.media)}"
                raise ValueError(reason)
            if self.media[piece.media].kind != piece.type:
                kind = self.media[piece.media].kind
                raise ValueError(f"medium {piece.media} is {kind!r}, not {piece.type!r}")
        return self

    def pieces(self) -> list[Piece]:
        """Return the pieces of all turns, in order."""
        return [piece for turn in self.turns for piece in turn.content]

    def child(self, **changes: Any) -> Row:
        """Return a new row with this one as parent; the run gives it an id."""
        given = {"id": "", "parents": (self.id,), "gates": (), "metrics": {}} | changes
        return self.changed(**given)

    def changed(self, **changes: Any) -> Row:
        """Return this row with other values, validated again."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return Row(**(values | changes))

    def measured(self, gates: Sequence[Gate] = (), **metrics: float) -> Row:
        """Return this row with more gates and metrics."""
        return self.changed(gates=(*self.gates, *gates), metrics=self.metrics | metrics)
