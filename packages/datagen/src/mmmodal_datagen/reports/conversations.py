"""Rows as HTML conversations: turns with media, both languages, and the checks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mmmodal.authoring.media import Audio, Image, read_media
from mmmodal.authoring.reports import Embedding, medium_names, paragraph, turn_contents
from mmmodal_datagen.contracts import Medium, Piece, Row, Turn

__all__ = ["row_card"]

SPEAKERS = {"user": "asked", "assistant": "answered", "system": "told"}


def row_card(row: Row, embedding: Embedding, root: Path) -> str:
    """Return a row as HTML; its texts are escaped.

    Args:
        row: the row.
        embedding: the media of the page.
        root: the folder of relative media paths.
    """
    names = medium_names(medium.kind for medium in row.media)
    figures = [
        embedding.figure(
            medium.kind,
            functools.partial(_item, medium, root),
            name,
            note=medium.description or "",
        )
        for medium, name in zip(row.media, names, strict=True)
    ]
    tags = [row.kind, *([row.relation] if row.relation else [])]
    shown = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in tags)
    return (
        f'<article class="card chat"><header><h3>{escape(row.id)}</h3>{shown}</header>'
        f"<ol>{''.join(_turn(turn, figures) for turn in row.turns)}</ol>"
        f"{_alone(row, figures)}{_origins(row)}</article>"
    )


def _item(medium: Medium, root: Path) -> Any:
    """Return the item of a medium, or None if no modality that is shown reads it."""
    shown: dict[str, Callable[[], Any]] = {"image": Image, "audio": Audio}
    modality = shown.get(medium.kind)
    return read_media(modality(), medium.uri, root=root) if modality else None


def _turn(turn: Turn, figures: Sequence[str]) -> str:
    pieces = [_text(each) if each.media is None else each.media for each in turn.content]
    return (
        f'<li class="bubble {SPEAKERS[turn.role]}"><span class="unseen">{turn.role}: </span>'
        f"{turn_contents(pieces, figures)}</li>"
    )


def _text(piece: Piece) -> str:
    text = paragraph(piece.text or "", piece.lang)
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
