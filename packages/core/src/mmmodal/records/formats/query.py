"""The older rows of ms-swift: `query`, `response` and `images`, with `history` and `system`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from mmmodal.config import Config
from mmmodal.records.column_names import ColumnNames
from mmmodal.records.pairs import PairFormat

__all__ = ["Query"]


class QueryOptions(ColumnNames):
    """What columns are called, as ms-swift's `--columns` says."""

    usual: ClassVar[Mapping[str, str]] = {
        "query": "query",
        "response": "response",
        "history": "history",
    }


class Query(PairFormat):
    """`{"query": text, "response": text, "images": [path]}`."""

    name = "query"
    shape = "`query` and `response`, with `images`, `audios` … and perhaps `history`"
    Options: ClassVar[type[Config]] = QueryOptions
    options: QueryOptions
