"""Text that users bring: UTF-8 with or without a byte order mark; anything else is one reason."""

from __future__ import annotations

import codecs
from pathlib import Path

__all__ = ["NotUtf8Error", "decoded", "other_encoding", "read_text"]

MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark is its beginning
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class NotUtf8Error(ValueError):
    """Bytes that are not UTF-8 text: what they are, or where; callers add their origin."""


def read_text(path: Path) -> str:
    """Return the text of a file without a byte order mark.

    Raises:
        NotUtf8Error: it is not UTF-8.
        OSError: it cannot be read.
    """
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str:
    """Return UTF-8 text without a byte order mark.

    Raises:
        NotUtf8Error: it is not UTF-8; names the line, if there are several, and the byte in it.
    """
    if encoding := other_encoding(data):
        raise NotUtf8Error(f"it is {encoding} text, not UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]  # without the mark
        line = before.count(b"\n") + 1
        byte = len(before) - before.rfind(b"\n")
        several = b"\n" in data.strip()
        place = f"line {line:,}, byte {byte:,}" if several else f"at byte {byte:,}"
        raise NotUtf8Error(f"not UTF-8 text ({place})") from None


def other_encoding(head: bytes) -> str:
    """Return the encoding of text that begins so, by its mark or its zero bytes; "" for others."""
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name
    # ASCII in UTF-16 has a zero in each pair of bytes.
    return "UTF-16" if len(head) > 1 and 0 in head[:2] and any(head[:2]) else ""
