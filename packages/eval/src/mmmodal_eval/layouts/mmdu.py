"""MMDU: conversations of many turns about many pictures (2406.11833)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmmodal_eval.layouts.layout import Layout

__all__ = ["MMDU"]

PLACE, MARK = "<ImageHere>", "<image>"


class MMDU(Layout):
    """`{"id", "image": [path, …], "conversations": [{"from", "value": "<ImageHere>…"}]}`."""

    name = "mmdu"
    shape = "`conversations` of `from` and `value` with `<ImageHere>`, and `image`"
    structured = ("conversations",)
    narrows = ("llava",)
    reader = "llava"
    renamed = ("conversations", "image")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a turn marks a picture as MMDU does."""
        turns = row.get("conversations")
        return isinstance(turns, list) and any(PLACE in _text(turn) for turn in turns)

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the conversation with the marks of LLaVA's rows."""
        turns = [
            {**turn, "value": _text(turn).replace(PLACE, MARK)} if _text(turn) else turn
            for turn in row["conversations"]
        ]
        return {"image": row.get("image"), "conversations": turns}


def _text(turn: Any) -> str:
    value = turn.get("value") if isinstance(turn, Mapping) and "from" in turn else None
    return value if isinstance(value, str) else ""
