"""Rows as ms-swift and LLaMA-Factory have them: `<image>` in the messages, `images` beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmmodal.contracts.record import Record
from mmmodal.records.foreign import complete
from mmmodal.records.formats.openai import OpenAI
from mmmodal.records.inline import listed, mark_text, markers

__all__ = ["MsSwift"]


class MsSwift(OpenAI):
    """`{"messages": [{"role", "content": "<image>text"}], "images": [path]}`, to be written."""

    name = "ms-swift"
    shape = "`messages` with `<image>`, `<audio>` … in their texts, and `images`, `audios` … beside"
    found = False
    lists_media = True

    def write(self, records: Sequence[Record], where: str) -> dict[str, Any]:
        """Return the row of one record; the media of each modality are in a list."""
        (record,) = records
        marks = markers()
        messages = [
            {"role": message.role, "content": mark_text(message, marks, where)}
            for message in record.messages
        ]
        row = {"id": record.id, "messages": messages, **listed(record)}
        return complete(row, record, self, where)
