"""Rows of each format, and how tests read, write and refuse them."""

from __future__ import annotations

from typing import Any

import pytest

from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.detection import find_format, read_row
from worlds import PAPER_EXAMPLES, read_lines

__all__ = [
    "AUDIOS",
    "CHAT",
    "EXAMPLES",
    "LLAVA",
    "MIXED",
    "MOTORCYCLE",
    "OPENAI",
    "PICTURES",
    "SESSION",
    "read",
    "refuses",
    "shown",
    "write",
]


EXAMPLES = read_lines(PAPER_EXAMPLES)
"""The rows that the paper prints: sections 2, 3, 4.1, 4.2, 4.3 and 4.4."""

CHAT, MOTORCYCLE, PICTURES, AUDIOS, MIXED, SESSION = EXAMPLES


def read(row: Any, name: str | None = None) -> list[Record]:
    """Read a row, of the format that is named or found."""
    return read_row(row, Place("f.jsonl:3", "f-3"), find_format(name) if name else None)[1]


def write(name: str, *records: Record) -> dict[str, Any]:
    """Write records as a row of a format."""
    return find_format(name).write(records, "f.jsonl:3")


def shown(record: Record) -> list[tuple[str, str]]:
    """Return each message as one text, with media as `{uri}`."""
    return [
        (
            message.role,
            "".join(
                f"{{{record.media[part.media].uri}}}" if part.media is not None else str(part.text)
                for part in message.content
            ),
        )
        for message in record.messages
    ]


def refuses(row: Any, message: str, name: str | None = None) -> None:
    """Check that a row is refused by one line that names its place."""
    with pytest.raises(RecordError, match=message) as caught:
        read(row, name)
    assert str(caught.value).startswith("f.jsonl:3: ")
    assert "\n" not in str(caught.value)


LLAVA = {
    "id": "000000033471",
    "image": "coco/000000033471.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat are the colors of the bus?"},
        {"from": "gpt", "value": "The bus is white and red."},
    ],
}
"""A row of LLaVA."""

OPENAI: dict[str, Any] = {
    "id": "1",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Compare"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            ],
        },
        {"role": "assistant", "content": "They differ."},
    ],
}
"""A row of OpenAI messages."""
