"""Rows of Alpaca, with media beside: `instruction`, `input`, `output` and `images`."""

from __future__ import annotations

from mmmodal.records.pairs import PairFormat

__all__ = ["Alpaca"]


class Alpaca(PairFormat):
    """`{"instruction": text, "input": text, "output": text, "images": [path]}`."""

    name = "alpaca"
    shape = "`instruction`, `output` and perhaps `input`, with `images`, `audios` …, `history`"
    asked = ("instruction", "input")
    answered = "output"
