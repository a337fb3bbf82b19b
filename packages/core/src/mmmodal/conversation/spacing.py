"""Spaces around media, for models that were trained on messages written with them."""

from __future__ import annotations

from collections.abc import Sequence

from mmmodal.contracts.record import ContentPart

__all__ = ["spaced"]

SPACE = ContentPart(type="text", text=" ")


def spaced(parts: Sequence[ContentPart]) -> list[ContentPart]:
    """Put a space between a medium and what is beside it, where there is none yet."""
    result: list[ContentPart] = []
    for part in parts:
        if part.text == "":
            continue
        if result and None in (result[-1].text, part.text):
            before, after = result[-1].text or "", part.text or ""
            if not (before[-1:].isspace() or after[:1].isspace()):
                result.append(SPACE)
        result.append(part)
    return result
