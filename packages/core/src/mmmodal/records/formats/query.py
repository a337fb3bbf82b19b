"""The older rows of ms-swift: `query`, `response` and `images`, with `history` and `system`."""

from __future__ import annotations

from mmmodal.records.pairs import PairFormat

__all__ = ["Query"]


class Query(PairFormat):
    """`{"query": text, "response": text, "images": [path]}`."""

    name = "query"
    shape = "`query` and `response`, with `images`, `audios` … and perhaps `history`"
    asked = ("query",)
    answered = "response"
