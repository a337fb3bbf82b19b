"""Rows of LLaMA-Factory's `formatting: sharegpt`, with the columns and tags that it has itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmmodal.contracts.record import Record
from mmmodal.records.foreign import complete
from mmmodal.records.formats.llava import Llava
from mmmodal.records.inline import listed, markers

__all__ = ["LlamaFactory"]


class LlamaFactory(Llava):
    """`{"conversations": [{"from", "value": "<image>text"}], "images": [path]}`, to be written."""

    name = "llama-factory"
    shape = "`conversations` of `from` and `value`, with lists `images`, `audios` …"
    found = False
    lists_media = True

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; the media of each modality are in a list."""
        (record,) = records
        turns = self.marked(record, markers(), where)
        return complete({"id": record.id, **turns, **listed(record)}, record, self, where)
