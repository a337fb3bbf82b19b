r"""Paths as they are typed, or as terminals insert them when a file is dragged into one.

Terminals of macOS escape (`My\ Pictures/a\ \(2\).png`), others quote as shells do
(`'it'\''s.png'`), file managers give URIs (`file:///My%20Pictures/a.png`), PowerShell a call
(`& 'C:\it''s.png'`).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

__all__ = ["typed_path", "typed_paths"]

URI = re.compile("file:", re.IGNORECASE)
MARK = re.compile(r"\\([$`])")
QUOTES = ("'", '"')
ESCAPED = re.compile(r"\$'((?:[^'\\]|\\.)*)'")  # as bash and zsh write what is not printable


def typed_paths(text: str) -> list[str]:
    """Return the files that `text` names, one or several; a file that has that very name wins.

    If no reading of `text` names files that exist, the most likely one is returned.
    """
    readings = [*_readings(text)]
    for paths in readings:
        if paths and all(map(os.path.exists, paths)):
            return paths
    return [typed_path(text)]


def typed_path(text: str) -> str:
    """Return the one path that `text` names, whether or not a file exists there."""
    plain = text.strip()
    for paths in _readings(text):
        if len(paths) == 1 and os.path.exists(paths[0]):
            return paths[0]
    words = _words(text)
    is_marked = URI.match(plain) or plain.startswith((*QUOTES, "& ")) or "\\" in plain
    if is_marked and len(words) == 1 and (os.name != "nt" or "\\" not in plain):
        return _opened(words[0])
    return _opened(_unquoted(plain))


def _readings(text: str) -> Iterator[list[str]]:
    """Yield the paths of each way to read `text`, the most literal first."""
    plain = text.strip()
    yield [text]
    yield [plain]
    yield [os.path.expanduser(plain)]
    yield [_opened(_unquoted(plain))]
    yield [_opened(word) for word in _words(text)]
    # Within double quotes, shells escape these marks too.
    yield [_opened(MARK.sub(r"\1", word)) for word in _words(text)]
    yield [_opened(word) for word in _words(text, escape="")]


def _words(text: str, escape: str = "\\") -> list[str]:
    """Return the words of `text`, in quotes or escaped as in a shell; none if quotes are open."""
    reader = shlex.shlex(ESCAPED.sub(_quoted, text), posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters, reader.escape = True, "", escape
    try:
        return [*reader]
    except ValueError:
        return []


def _quoted(escaped: re.Match[str]) -> str:
    """Return $'…', with its escapes of bytes and characters, in usual quotes."""
    data = escaped[1].encode("latin-1", "backslashreplace").decode("unicode_escape")
    with contextlib.suppress(UnicodeError):
        data = data.encode("latin-1").decode("utf-8")  # bytes of UTF-8 are escaped one by one
    return shlex.quote(data)


def _unquoted(text: str) -> str:
    """Return a text without the quotes around it, and without PowerShell's sign of a call."""
    text = text.removeprefix("& ").strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in QUOTES:
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def _opened(word: str) -> str:
    """Return the path of a word, which is a path or a URI, decoded once."""
    if not URI.match(word):
        return os.path.expanduser(word)
    parts = urlsplit(word.replace("#", "%23").replace("?", "%3F"))
    if os.name != "nt":
        return unquote(parts.path)
    host = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
    return url2pathname(host + parts.path)
