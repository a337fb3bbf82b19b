"""Rows as HTML conversations: turns with media, both languages, and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from mmmodal_datagen.contracts import Medium, Piece, Row, Turn
from mmmodal_datagen.reports.media import Embedding

__all__ = ["row_card"]

SPEAKERS = {"user": "asked", "assistant": "answered", "system": "told"}


def row_card(row: Row, embedding: Embedding) -> str:
    """Return a row as HTML; its texts are escaped."""
    figures = [embedding.figure(medium, _name(row.media, n)) for n, medium in enumerate(row.media)]
    tags = [row.kind, *([row.relation] if row.relation else [])]
    shown = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags)
    return (
        f'<article class="card chat"><header><h3>{escape(row.id)}</h3>{shown}</header>'
        f"<ol>{''.join(_turn(turn, figures) for turn in row.turns)}</ol>"
        f"{_alone(row, figures)}{_origins(row)}</article>"
    )


def _name(media: Sequence[Medium], index: int) -> str:
    """Return the name of a medium as in texts: its kind, and its number within the row."""
    kind = media[index].kind
    number = [medium.kind for medium in media[: index + 1]].count(kind)
    return f"{kind} {number}"


def _turn(turn: Turn, figures: Sequence[str]) -> str:
    pieces = []
    for is_text, some in groupby(turn.content, lambda piece: piece.type == "text"):
        if is_text:
            pieces += [_text(piece) for piece in some]
        else:
            shown = "".join(figures[piece.media] for piece in some if piece.media is not None)
            pieces.append(f'<div class="media">{shown}</div>')
    return (
        f'<li class="bubble {SPEAKERS[turn.role]}"><span class="unseen">{turn.role}: </span>'
        f"{''.join(pieces)}</li>"
    )


def _text(piece: Piece) -> str:
    lang = f' lang="{escape(piece.lang)}"' if piece.lang else ""
    text = f'<p dir="auto"{lang}>{escape(piece.text or "")}</p>'
    if piece.text_ms is None or piece.text_ms == piece.text:
        return text
    return f'{text}<p class="malay" dir="auto" lang="ms">{escape(piece.text_ms)}</p>'


def _alone(row: Row, figures: Sequence[str]) -> str:
    """Return the media that are in no turn."""
    used = {piece.media for piece in row.pieces()}
    left = "".join(figure for number, figure in enumerate(figures) if number not in used)
    return f'<div class="media">{left}</div>' if left else ""


def _origins(row: Row) -> str:
    """Return the steps, models, checks and sources of a row."""
    steps = []
    for origin in row.origins:
        models = sorted({call.model for call in origin.calls if call.model})
        by = f" by {', '.join(models)}" if models else ""
        steps.append(escape(f"{origin.step}{by}"))
    checks = [
        escape(f"{gate.name} {gate.value:.3g}" + _against(gate.threshold)) for gate in row.gates
    ]
    known = {
        "Steps": " → ".join(steps),
        "Checked": " · ".join(checks),
        "Licence": escape(row.licence or "not stated"),
        "Source": escape(row.source_url or ""),
        "Media": escape(", ".join(medium.uri[:200] for medium in row.media)),
        "Parents": escape(", ".join(row.parents)),
    }
    lines = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in known.items() if value
    )
    return f"<details><summary>Where it comes from</summary><dl>{lines}</dl></details>"


def _against(threshold: float | None) -> str:
    return "" if threshold is None else f" (limit {threshold:g})"
