"""Text that is not UTF-8 is one reason that names the place; a mark of UTF-8 is no text."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from mmmodal.utf8 import NotUtf8Error, decoded, other_encoding, read_text


@pytest.mark.parametrize("text", ["", "a", "apa khabar é 你好\n", "\n", "a\ufeffb"])
def test_utf8_is_read_with_and_without_a_mark(tmp_path: Path, text: str) -> None:
    for data in (text.encode(), codecs.BOM_UTF8 + text.encode()):
        (tmp_path / "a.txt").write_bytes(data)

        assert decoded(data) == read_text(tmp_path / "a.txt") == text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("é".encode("latin-1"), r"not UTF-8 text \(at byte 1\)"),
        (b"ab\xff", r"not UTF-8 text \(at byte 3\)"),
        (codecs.BOM_UTF8 + b"ab\xff", r"not UTF-8 text \(at byte 3\)"),
        ("a\nbé\n".encode("cp1252"), r"not UTF-8 text \(line 2, byte 2\)"),
        ("a\r\né".encode("cp1252"), r"not UTF-8 text \(line 2, byte 1\)"),
        ("a".encode("utf-16"), "it is UTF-16 text"),
        ("a".encode("utf-16-le"), "it is UTF-16 text"),
        ("a".encode("utf-16-be"), "it is UTF-16 text"),
        ("a".encode("utf-32"), "it is UTF-32 text"),
    ],
)
def test_other_bytes_are_an_error_that_says_what_or_where(data: bytes, reason: str) -> None:
    with pytest.raises(NotUtf8Error, match=reason):
        decoded(data)


@pytest.mark.parametrize("head", [b"", b"\0", b"\0\0\0 ftyp", b"PAR1", "{é".encode("latin-1")])
def test_what_is_no_other_encoding_has_none(head: bytes) -> None:
    assert other_encoding(head) == ""
