"""A path is found as it is typed, and as terminals of all systems insert it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from mmmodal.cli.typed_paths import typed_path, typed_paths

NAMES = [
    "plain.png",
    "star 1.png",
    "it's a star.png",
    'a "quoted" star.png',
    "star (2).png",
    "a&b;c|d<e>f$g`h!i*j?k[l]m{n}o#p.png",
    "back\\slash.png",
    "100%.png",
    "a%20b.png",
    "a#b?c.png",
    "bintang merah – ü 図.png",
    "Screenshot 2026-01-02 at 9.41.00\u202fAM.png",
    " space around .png ",
    "~tilde.png",
    "-dash.png",
    "tab\tinside.png",
]


def escaped(path: Path) -> str:
    """As Terminal and iTerm write it."""
    safe = "/.-_%+=:,@"
    return "".join(
        c if c.isalnum() or c in safe or not c.isascii() else f"\\{c}" for c in str(path)
    )


def with_apostrophes(path: Path) -> str:
    """As GNOME Terminal and Konsole write it."""
    return "'" + str(path).replace("'", "'\\''") + "'"


def in_double_quotes(path: Path) -> str:
    """As VS Code on Linux writes it."""
    text = str(path)
    for mark in '\\"$`':
        text = text.replace(mark, f"\\{mark}")
    return f'"{text}"'


def by_bash(path: Path) -> str:
    """As `printf %q` writes what is not printable."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'").replace("\t", "\\t")
    return f"$'{text}'"


WAYS: dict[str, Callable[[Path], str]] = {
    "as typed": str,
    "escaped": escaped,
    "escaped, with a space behind": lambda path: escaped(path) + " ",
    "in quotes": with_apostrophes,
    "in quotes, with a space behind": lambda path: with_apostrophes(path) + " ",
    "in quotes of Python's": lambda path: shlex.quote(str(path)),
    "in double quotes": in_double_quotes,
    "by bash": by_bash,
    "as a URI": lambda path: path.as_uri(),
    "as a URI of this machine": lambda path: path.as_uri().replace("file://", "file://localhost"),
    "as a URI in capitals": lambda path: path.as_uri().replace("file:", "FILE:"),
    "as a call of PowerShell": lambda path: "& '" + str(path).replace("'", "''") + "'",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_dragged_file_is_found(name: str, way: str, tmp_path: Path) -> None:
    folder = tmp_path / "My Pictures"
    folder.mkdir()
    path = folder / name
    path.write_bytes(b"x")
    (folder / "other.png").write_bytes(b"x")
    assert typed_paths(WAYS[way](path)) == [str(path)]
    assert typed_path(WAYS[way](path)) == str(path)


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way not in ("as typed", "as a call of PowerShell")]
)
def test_several_dragged_files_are_found(way: str, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("star 1.png", "it's.png", "plain.png")]
    for path in paths:
        path.write_bytes(b"x")
    assert typed_paths(" ".join(WAYS[way](path) for path in paths)) == [*map(str, paths)]
    assert typed_paths("\t".join(WAYS[way](path).strip() for path in paths)) == [*map(str, paths)]


def test_a_file_of_that_very_name_wins(tmp_path: Path) -> None:
    for name in ("a\\ b.png", "a b.png", "a", "b.png", "'a b.png'", "a%20b.png"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("a\\ b.png", "a b.png", "a%20b.png"):
        assert typed_paths(f"{tmp_path}/{name}") == [f"{tmp_path}/{name}"]


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my star.png").write_bytes(b"x")
    for text in ("~/my star.png", "~/my\\ star.png", "'~/my star.png'", '~/"my star.png"'):
        assert typed_paths(text) == [str(tmp_path / "my star.png")]


def test_paths_of_this_folder_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my star.png").write_bytes(b"x")
    for text in ("my star.png", "my\\ star.png", "./my\\ star.png ", '"my star.png"'):
        assert [Path(path).name for path in typed_paths(text)] == ["my star.png"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("my talk.jsonl", "my talk.jsonl"),
        ("'my talk.jsonl'", "my talk.jsonl"),
        ('"my talk.jsonl" ', "my talk.jsonl"),
        ("my\\ talk.jsonl", "my talk.jsonl"),
        ("it's mine.jsonl", "it's mine.jsonl"),
        ("file:///tmp/my%20talk.jsonl", "/tmp/my talk.jsonl"),
        ("& 'C:\\talk.jsonl'", "C:\\talk.jsonl"),
        ('"C:\\My Talks\\talk.jsonl"', "C:\\My Talks\\talk.jsonl"),
    ],
)
def test_a_new_file_gets_the_most_likely_name(
    text: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed_path(text) == path
    assert typed_paths(text) == [path]
