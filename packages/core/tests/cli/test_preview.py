"""`mmmodal data preview` shows rows as the model reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmmodal.cli.preview import format_preview
from worlds import record, write_lines

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def family() -> str:
    return "qwen2"


def conversation(number: int, **changes: Any) -> dict[str, Any]:
    media = (("image", "media/a.png"), ("audio", "media/b.wav"))
    return record(f"r{number}", *media, answer="Seekor kucing.", **changes)


def lines(path: Path, *rows: Any) -> Path:
    return write_lines(path, rows)


class Letters:
    """A tokenizer of one letter a token, which loses the space that a text begins with."""

    def decode(self, ids: list[int], **options: Any) -> str:
        assert options == {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return "".join(map(chr, ids)).removeprefix(" ")


SLOT, SOUND = 1000, 1001
TIMES = "\N{MULTIPLICATION SIGN}"


def rendered(text: str, learned: str) -> SimpleNamespace:
    """Make tokens of a text in which `@` and `#` are slots; `learned` has a `^` below each label."""
    ids = [{"@": SLOT, "#": SOUND}.get(letter, ord(letter)) for letter in text]
    pairs = zip(ids, learned.ljust(len(ids)), strict=True)
    return SimpleNamespace(
        input_ids=ids, labels=[id_ if mark == "^" else -100 for id_, mark in pairs]
    )


SHOWN = rendered(
    "user:<@@@@><##>Apa ini? ai: Kucing.$ user:",
    "                           ^^^^^^^^^",
)


def test_preview_counts_slots_and_marks_what_is_learned() -> None:
    text = format_preview(SHOWN, Letters(), {SLOT: "image", SOUND: "audio"})

    assert text == f"user:<[image {TIMES}4]><[audio {TIMES}2]>Apa ini? ai:⟦ Kucing.$⟧ user:"


def test_preview_on_a_terminal_is_green_and_underlined() -> None:
    text = format_preview(SHOWN, Letters(), {SLOT: "image", SOUND: "audio"}, colour=True)

    assert "ai:\x1b[32m\x1b[4m Kucing.$\x1b[0m user:" in text
    assert "⟦" not in text


def test_preview_does_not_pass_control_characters_to_the_terminal() -> None:
    text = format_preview(rendered("a\x1b[2Jb\nc\r", ""), Letters(), {})

    assert text == "a\\x1b[2Jb\nc\\r"


def test_preview_of_two_media_side_by_side_counts_each_modality() -> None:
    text = format_preview(rendered("@@#@", "   "), Letters(), {SLOT: "image", SOUND: "audio"})

    assert text == f"[image {TIMES}2][audio {TIMES}1][image {TIMES}1]"


def test_preview_shows_rows_as_the_model_reads_them(folder: Path, start: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl", "{", conversation(2), conversation(3), conversation(4))

    code, out, _ = data("preview", path, "--model", start, "--row", 2, "-n", 2)

    assert code == 0
    headings = [line for line in out.splitlines() if line.startswith("──")]
    assert [line.split(" · ")[0] for line in headings] == [f"── {path}:2", f"── {path}:3"]
    assert out.count(f"<|im_start|>user\n<image>[image {TIMES}") == 2
    assert out.count("⟦Seekor kucing.<|im_end|>⟧") == 2


def test_preview_names_the_row_it_cannot_show(folder: Path, start: Path, data: Run) -> None:
    gone = [{"kind": "image", "uri": "gone.png"}, {"kind": "audio", "uri": "media/b.wav"}]
    path = lines(folder / "a.jsonl", "{", conversation(2, media=gone))

    for row, reason in (
        (1, "1: not valid JSON"),
        (2, "2: gone.png: no such file"),
        (3, " there is no row 3"),
    ):
        code, out, err = data("preview", path, "--model", start, "--row", row)
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith(f"Error: {path}:{reason}")


def test_preview_tells_that_a_file_is_damaged(folder: Path, start: Path, data: Run) -> None:
    (folder / "0.tar").write_bytes(b"none")
    (folder / "1.tar").write_bytes(b"none")

    code, _, err = data("preview", folder, "--model", start, "--row", 2)

    assert code == 1
    assert f"Error: {folder}/0.tar: the tar file is damaged" in err


def test_preview_of_a_folder_that_is_no_model_says_so(folder: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl", conversation(1))

    code, _, err = data("preview", path, "--model", folder)

    assert code == 1
    assert f"Error: {folder} has no config.json" in err
