"""Rows of Alpaca, with media beside: `instruction`, `input`, `output` and `images`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mmmodal.config import Config
from mmmodal.records.column_names import ColumnNames
from mmmodal.records.pairs import PairFormat

__all__ = ["Alpaca"]


class AlpacaOptions(ColumnNames):
    """What columns are called, as in LLaMA-Factory's `dataset_info.json`."""

    usual: ClassVar[Mapping[str, str]] = {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "history": "history",
    }


class Alpaca(PairFormat):
    """`{"instruction": text, "input": text, "output": text, "images": [path]}`."""

    name = "alpaca"
    shape = "`instruction`, `output` and perhaps `input`, with `images`, `audios` …, `history`"
    Options: ClassVar[type[Config]] = AlpacaOptions
    options: AlpacaOptions
