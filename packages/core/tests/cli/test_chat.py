"""A chat in a terminal: what is typed, dragged and set on the command line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from mmmodal.cli.main import run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "My Pictures"
    folder.mkdir()
    for name in ("star 1.png", "it's a star.png", "a:b.png"):
        Image.new("RGB", (8, 8), "red").save(folder / name)
    return folder


def talk(start: Path, typed: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    return run(["chat", str(start), "--max-new-tokens", "4", *options])


def test_dragged_files_are_sent_and_a_talk_is_saved(
    start: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pictures)
    escaped = str(pictures / "star 1.png").replace(" ", "\\ ")
    several = f"{(pictures / 'star 1.png').as_uri()} '{pictures}/it'\\''s a star.png'"
    lines = f"/image {escaped} \n/image {several}\n/image a:b.png\nWhat?\n/save my\\ talk.jsonl\n"
    assert talk(start, lines, monkeypatch) == 0
    errors = capsys.readouterr().err
    assert errors.count("will be sent with your next message") == 4
    assert "Error" not in errors
    assert (pictures / "my talk.jsonl").is_file()


def test_a_missing_file_is_told_by_the_name_it_would_have(
    start: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    talk(start, f"/image {pictures}/no\\ star.png\n".replace("My P", "My\\ P"), monkeypatch)
    assert f"{pictures}/no star.png: no such file" in capsys.readouterr().err


def test_options_of_answers_act(start: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def say(*options: str) -> str:
        assert (
            run(["generate", str(start), "--prompt", "What?", "--max-new-tokens", "9", *options])
            == 0
        )
        return capsys.readouterr().out.strip()

    plain = say()
    assert say("--temperature", "0") == plain
    assert say("--stop", plain[3:5], "--stop", "never") == plain[: plain.index(plain[3:5])].strip()
    assert len({say("--temperature", "9") for _ in range(4)}) > 1
    assert len({say("--top-k", "50") for _ in range(4)}) > 1
    assert len({say("--top-p", "0.95") for _ in range(4)}) > 1
