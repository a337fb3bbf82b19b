"""Rows as records, one for each language, and records as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmmodal.authoring.parts import RecordError
from mmmodal.authoring.records import ContentPart, MediaRef, Message, Record
from mmmodal_datagen.rows.row import Medium, Piece, Row, Turn

__all__ = ["records_of", "row_of"]

LANGUAGES = ("en", "ms")
"""The languages of `text` and `text_ms`, where a row has both."""


def row_of(records: Sequence[Record], where: str, **changes: Any) -> Row:
    """Return the row of a record, or of its English and Malay versions.

    Raises:
        RecordError: the versions differ in turns or media.
    """
    first, *others = records
    malay = others[0] if others else None
    if malay is not None and _shape(first) != _shape(malay):
        raise RecordError(where, "its English and Malay versions differ in turns or media")
    bilingual = malay is not None
    name = first.group if bilingual and first.group else first.id
    lang = None if bilingual else first.lang
    media = tuple(Medium(kind=ref.kind, uri=ref.uri, sha256=ref.sha256) for ref in first.media)
    values: dict[str, Any] = {
        "id": name,
        "kind": _kind(media),
        "turns": tuple(_turns(first, malay, lang)),
        "media": media,
        "groups": _groups(first, media, bilingual) or (name,),
        "synthetic": False,
        "meta": first.meta,
    }
    return Row(**(values | changes))


def records_of(row: Row, *, grouped_by: str = "media") -> list[Record]:
    """Return one record for each language that all texts of a row have.

    Args:
        row: with turns.
        grouped_by: "media" sets `group` to what must stay in one split; "row" sets it to the id
            of the row, as the paper's format pairs versions by it.

    Raises:
        RecordError: the row has no turns, or only some of its texts have Malay.
    """
    pieces = [piece for piece in row.pieces() if piece.text is not None]
    translated = [piece for piece in pieces if piece.text_ms is not None]
    if not row.turns:
        raise RecordError(f"row {row.id!r}", f"it has no turns, as it is a {row.kind}")
    if translated and len(translated) < len(pieces):
        missing = f"{len(pieces) - len(translated)} of {len(pieces)} texts have no Malay"
        raise RecordError(f"row {row.id!r}", missing)
    if not translated:
        return [_record(row, None, row.id, grouped_by)]
    return [_record(row, lang, f"{row.id}-{lang}", grouped_by) for lang in LANGUAGES]


def _record(row: Row, lang: str | None, name: str, grouped_by: str) -> Record:
    # A group that equals the row's id adds nothing.
    group = "+".join(sorted(set(row.groups))) if grouped_by == "media" else None
    if grouped_by == "row" and lang is not None:
        group = row.id
    spoken = {piece.lang for piece in row.pieces() if piece.text is not None}
    return Record(
        id=name,
        messages=tuple(_message(turn, lang) for turn in row.turns),
        media=tuple(MediaRef(kind=m.kind, uri=m.uri, sha256=m.sha256) for m in row.media),
        lang=lang or (spoken.pop() if len(spoken) == 1 else None),
        group=None if group == row.id and lang is None else group,
        meta=row.meta,
    )


def _message(turn: Turn, lang: str | None) -> Message:
    parts = []
    for piece in turn.content:
        if piece.type == "text":
            parts.append(
                ContentPart(type="text", text=piece.text_ms if lang == "ms" else piece.text)
            )
        else:
            parts.append(ContentPart(type=piece.type, media=piece.media))
    return Message(role=turn.role, content=tuple(parts))


def _turns(first: Record, malay: Record | None, lang: str | None) -> list[Turn]:
    turns = []
    for index, message in enumerate(first.messages):
        other = malay.messages[index].content if malay is not None else message.content
        pieces = tuple(
            Piece(
                type=part.type,
                text=part.text,
                text_ms=same.text if malay is not None else None,
                lang=lang if part.text is not None else None,
                media=part.media,
            )
            for part, same in zip(message.content, other, strict=True)
        )
        turns.append(Turn(role=message.role, content=pieces))
    return turns


def _shape(record: Record) -> list[Any]:
    turns = [(m.role, [(part.type, part.media) for part in m.content]) for m in record.messages]
    return [turns, [(ref.kind, ref.uri) for ref in record.media]]


def _groups(record: Record, media: Sequence[Medium], bilingual: bool) -> tuple[str, ...]:
    if record.group is not None and not bilingual:
        return (record.group,)
    return tuple(sorted({medium.sha256 or medium.uri for medium in media}))


def _kind(media: Sequence[Medium]) -> str:
    kinds = [medium.kind for medium in media]
    if len(kinds) > 1:
        return "session"
    return "audio_qa" if kinds == ["audio"] else "visual_qa"
