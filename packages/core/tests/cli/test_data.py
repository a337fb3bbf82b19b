"""`mmmodal data`: what it prints where, and the code it ends with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_packages import run_python
from mmmodal.records.dataset import read_records
from worlds import PAPER_EXAMPLES, read_lines, record, write_lines

Run = Callable[..., tuple[int, str, str]]


def conversation(number: int, **changes: Any) -> dict[str, Any]:
    media = (("image", "media/a.png"), ("audio", "media/b.wav"))
    return record(f"r{number}", *media, answer="Seekor kucing.", **changes)


def lines(path: Path, *rows: Any) -> Path:
    return write_lines(path, rows)


# check


def test_check_is_content_with_good_data(folder: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl", conversation(1), conversation(2))

    assert data("check", path) == (0, "2 records, no errors\n", "")
    assert data("check", path, "--json") == (
        0,
        '{\n  "records": 2,\n  "errors": [],\n  "unused": {}\n}\n',
        "",
    )


def test_check_prints_every_error_with_its_line_and_fails(folder: Path, data: Run) -> None:
    (folder / "media/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    digest = hashlib.sha256((folder / "media/a.png").read_bytes()).hexdigest()
    picture = {"kind": "image", "uri": "media/a.png"}
    sound = {"kind": "audio", "uri": "media/b.wav"}
    path = lines(
        folder / "a.jsonl",
        conversation(1),
        "{",
        conversation(3, media=[picture | {"uri": "media/none.png"}, sound]),
        conversation(4, media=[picture | {"uri": "../a.png"}, sound | {"uri": "https://x.org/b"}]),
        conversation(1),
        conversation(6, media=[picture | {"uri": "media/broken.png"}, sound]),
        conversation(7, media=[picture | {"sha256": digest.upper()}, sound | {"sha256": "0" * 64}]),
        conversation(8, media=[picture, sound | {"uri": "media/a.png"}]),
    )

    code, out, err = data("check", path)

    assert (code, err) == (1, "")
    found = [line.removeprefix(f"{path}:") for line in out.splitlines()]
    expected = [
        "2: not valid JSON",
        "3: medium 0: media/none.png: no such file",
        "4: medium 0: ../a.png: it is outside of the media root",
        "4: medium 1: https://x.org/b: https: URLs are not downloaded; download the file",
        "5: the id 'r1' is also that of row 1; make it unique",
        "6: medium 0: media/broken.png: ",
        "7: medium 1: media/b.wav: its SHA-256 differs from the row's",
        "8: medium 1: media/a.png: ",
        "7 records, 8 errors",
    ]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected

    code, out, _ = data("check", path, "--json")
    report = json.loads(out)
    assert (code, report["records"], len(report["errors"])) == (1, 7, 8)
    assert report["errors"][1]["where"] == f"{path}:3"


def test_check_without_media_reads_rows_only(folder: Path, data: Run) -> None:
    gone = [{"kind": "image", "uri": "gone.png"}, {"kind": "audio", "uri": "gone.wav"}]
    path = lines(folder / "a.jsonl", conversation(1, media=gone))

    assert data("check", path)[0] == 1
    assert data("check", path, "--no-media") == (0, "1 record, no errors\n", "")


def test_check_says_which_modality_no_plugin_provides(folder: Path, data: Run) -> None:
    message = {"role": "user", "content": [{"type": "imag", "media": 0}]}
    row = {"id": "1", "messages": [message], "media": [{"kind": "imag", "uri": "x"}]}

    code, out, _ = data("check", lines(folder / "a.jsonl", row), "--no-media")

    assert code == 1
    assert "a.jsonl:1: medium 0: unknown modality 'imag'. Did you mean 'image'?" in out


def test_check_takes_equal_ids_where_the_format_uses_one_for_all_questions_about_an_image(
    folder: Path, data: Run
) -> None:
    turns = [{"from": "human", "value": "<image>x"}, {"from": "gpt", "value": "y"}]
    row = {"id": "7", "image": "media/a.png", "conversations": turns}

    assert data("check", lines(folder / "a.jsonl", row, row))[0] == 0


def test_check_finds_a_row_that_teaches_nothing(folder: Path, data: Run) -> None:
    row = {"messages": [{"role": "user", "content": "Apa khabar?"}]}
    path = lines(folder / "a.jsonl", row)

    code, out, _ = data("check", path)

    assert code == 1
    assert f"{path}:1: no assistant turn: there is nothing to learn from it; add one\n" in out


def test_check_finds_the_paper_s_absolute_paths_through_root_maps(folder: Path, data: Run) -> None:
    rows = read_lines(PAPER_EXAMPLES)
    for uri in [name for row in (rows[0], rows[5]) for name in files(row)]:
        local = folder / "media" / Path(uri).name
        local.write_bytes(
            (folder / ("media/b.wav" if uri.endswith("mp3") else "media/a.png")).read_bytes()
        )
    path = lines(folder / "paper.jsonl", rows[0], rows[5])
    maps = ["/home/ubuntu/output-audio", "/home/ubuntu/filtered-llava-images", "output-audio"]

    assert data("check", path)[0] == 1
    code, out, _ = data("check", path, *[f"--root-map={old}=media" for old in maps])

    assert code == 0
    assert out == "not used, kept in meta: 'context' (1 row)\n3 records, no errors\n"


def test_check_hints_at_paths_of_windows_and_root_maps_match_them(folder: Path, data: Run) -> None:
    sound = {"kind": "audio", "uri": "C:\\data\\media\\b.wav"}
    media = [{"kind": "image", "uri": "media\\a.png"}, sound]
    path = lines(folder / "a.jsonl", conversation(1, media=media))

    code, out, _ = data("check", path)

    assert code == 1
    assert out.count("no such file: it is a path of Windows; write / for \\") == 2
    maps = ["--root-map=media=media", "--root-map=c:\\data\\media=media"]
    assert data("check", path, *maps)[:2] == (0, "1 record, no errors\n")


def test_check_reads_file_urls_under_the_root_only(folder: Path, data: Run) -> None:
    def row(uri: str) -> dict[str, Any]:
        shown = [{"type": "image", "image": uri}, {"type": "text", "text": "Apa?"}]
        answer = {"role": "assistant", "content": "Itu."}
        return {"messages": [{"role": "user", "content": shown}, answer]}

    rows = row(f"file://{folder}/media/a.png"), row("file:///etc/a.png")
    path = lines(folder / "a.jsonl", *rows)

    code, out, _ = data("check", path)

    assert code == 1
    assert out.splitlines()[0].startswith(f"{path}:2: medium 0: /etc/a.png: it is outside of the")
    assert out.splitlines()[1] == "2 records, 1 error"


def test_check_counts_the_keys_that_are_not_used(folder: Path, data: Run) -> None:
    turns = [{"from": "human", "value": "<image>x"}, {"from": "gpt", "value": "y"}]
    llava = {"image": "media/a.png", "conversations": turns, "source": "coco", "lang": "en"}
    bilingual = {
        "conversations": [
            {"role": "user", "content": "x", "content_ms": "x"},
            {"role": "assistant", "content": "y", "content_ms": "y"},
        ],
        "score": 0.5,
        "empty": None,
    }
    kept = conversation(1, meta={"images": ["gone.png"]})
    path = lines(folder / "a.jsonl", llava, llava | {"score": 1}, bilingual, kept)

    assert data("check", path)[:2] == (
        0,
        "not used, kept in meta: 'score' (2 rows), 'source' (2 rows)\n5 records, no errors\n",
    )
    assert json.loads(data("check", path, "--json")[1])["unused"] == {"score": 2, "source": 2}


def test_check_tells_rows_whose_media_are_listed_beside_the_messages(
    folder: Path, data: Run
) -> None:
    def row(text: str, **media: Any) -> dict[str, Any]:
        answer = {"role": "assistant", "content": "y"}
        return {"messages": [{"role": "user", "content": text}, answer], **media}

    path = lines(
        folder / "a.jsonl",
        row("<image>x", images=["media/a.png"]),
        row("<image>x", images=["media/none.png"]),
        row("x", audios=["media/b.wav"]),
        row("x", videos=["media/c.mp4"]),
    )

    code, out, _ = data("check", path)

    found = [line.removeprefix(f"{path}:") for line in out.splitlines()]
    expected = [
        "2: medium 0: media/none.png: no such file",
        "3: 'audios' lists 1 media, but the messages mark 0; mark the place of each by <audio>",
        "4: 'videos.0' names a medium ('media/c.mp4') that is in no message; put it where",
        "2 records, 3 errors",
    ]
    assert code == 1
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def files(row: dict[str, Any]) -> list[str]:
    return [row["filename"]] if isinstance(row["filename"], str) else row["filename"]


def test_check_looks_for_media_under_the_root(folder: Path, data: Run) -> None:
    (folder / "rows").mkdir()
    path = lines(folder / "rows/a.jsonl", conversation(1))

    assert data("check", path)[0] == 1
    assert data("check", path, "--root", folder)[0] == 0


def test_check_of_a_file_without_rows_is_an_error(folder: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl")

    code, out, _ = data("check", path)

    assert code == 1
    assert out == f"{path}: it has no records\nno records, 1 error\n"


@pytest.mark.parametrize("command", ["check", "stats"])
def test_a_missing_file_is_one_line_on_stderr(command: str, tmp_path: Path, data: Run) -> None:
    path = tmp_path / "none.jsonl"

    assert data(command, path) == (1, "", f"Error: {path}: no such file; check its name\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "Missing argument 'PATH'"),
        (
            ["check", "x", "--format", "lava"],
            "unknown format 'lava'. Did you mean 'llava'?",
        ),
        (["convert", "x", "y", "--to", "lava"], "unknown format 'lava'"),
        (["check", "x", "--set", "a=b"], "--set needs --format"),
        (["preview", "x"], "Missing option '--model'"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], words: str, data: Run) -> None:
    code, out, err = data(*arguments)

    assert (code, out) == (2, "")
    assert words in err


def test_help_and_options_load_neither_pydantic_nor_anything_heavy() -> None:
    script = (
        "import sys, mmmodal.cli.main as m; m.run(['data', 'check', '--help']);"
        "print([n for n in ('pydantic', 'torch', 'pyarrow', 'numpy', 'datasets') if n in sys.modules])"
    )

    assert run_python("-c", script).stdout.splitlines()[-1] == "[]"


# stats


def test_stats_count_what_is_in_the_paper_s_examples(data: Run) -> None:
    code, out, _ = data("stats", PAPER_EXAMPLES, "--json")

    summary = json.loads(out)
    assert code == 0
    assert summary["records"] == 9
    assert summary["languages"] == {"en": 3, "ms": 3, "unknown": 3}
    assert summary["turns"] == {"total": 34, "min": 2, "median": 2, "mean": 3.78, "max": 12}
    assert summary["media"]["audio"] == {"total": 9, "min": 0, "median": 1, "mean": 1.0, "max": 2}
    assert summary["media"]["image"] == {"total": 8, "min": 0, "median": 1, "mean": 0.89, "max": 3}
    records = [record for _, record in read_records(PAPER_EXAMPLES)]
    said = [
        len("".join(part.text or "" for part in message.content))
        for record in records
        for message in record.messages
        if message.role == "assistant"
    ]
    assert summary["characters"]["assistant"]["total"] == sum(said)
    assert summary["characters"]["assistant"]["max"] == max(said)


def test_stats_print_an_aligned_table(folder: Path, data: Run) -> None:
    code, out, err = data(
        "stats", lines(folder / "a.jsonl", conversation(1), conversation(2, lang="ms"))
    )

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2 records (ms 1, unknown 1)",
        "",
        "                               TOTAL  MIN  MEDIAN  MEAN  MAX",
        "turns per record               4      2    2       2.0   2",
        "audio per record               2      1    1       1.0   1",
        "image per record               2      1    1       1.0   1",
        "characters per assistant turn  28     14   14      14.0  14",
        "characters per user turn       0      0    0       0.0   0",
    ]


def test_stats_stop_at_a_bad_row(folder: Path, data: Run) -> None:
    code, out, err = data("stats", lines(folder / "a.jsonl", conversation(1), "{"))

    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {folder}/a.jsonl:2: not valid JSON")


# convert


def test_the_paper_s_rows_convert_to_native_and_back_unchanged(tmp_path: Path, data: Run) -> None:
    native, back = tmp_path / "native.parquet", tmp_path / "back.jsonl"

    first = data("convert", PAPER_EXAMPLES, native)
    second = data("convert", native, back, "--to", "paper")

    assert first == (
        0,
        f"{native}: 9 records\n",
        f"Media paths are still relative to {PAPER_EXAMPLES.parent}\n",
    )
    assert second == (0, f"{back}: 9 records\n", "")
    rows = read_lines(PAPER_EXAMPLES)
    assert read_lines(back) == rows


def test_what_the_format_cannot_hold_is_an_error_that_names_the_row(
    folder: Path, data: Run
) -> None:
    row = {"image": "a.png", "conversations": [{"role": "user", "content": "<image>x"}]}
    path = lines(folder / "a.jsonl", row, {"messages": [{"role": "user", "content": "<image>?"}]})
    out = folder / "out.jsonl"

    code, printed, err = data("convert", path, out, "--to", "llava")

    assert (code, printed) == (1, "")
    assert err.startswith(f"Error: {path}:2: a text contains a marker, which this format would")
    assert sorted(child.name for child in folder.iterdir()) == ["a.jsonl", "media"]


def test_bad_rows_are_skipped_and_counted_where_that_is_asked_for(folder: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl", conversation(1), "{", conversation(3))
    out = folder / "out.jsonl"

    code, printed, err = data("convert", path, out, "--skip-bad", "--json")

    assert (code, json.loads(printed)) == (0, {"records": 2, "format": "native", "out": str(out)})
    assert err.splitlines()[0].startswith(f"Skipped {path}:2: not valid JSON")
    assert err.splitlines()[1:] == ["1 bad row skipped"]
    assert [record.id for _, record in read_records(out)] == ["r1", "r3"]


def test_ids_that_another_format_repeats_become_unique_and_our_own_must_be(
    folder: Path, data: Run
) -> None:
    row = {"id": "7", "image": "a", "conversations": [{"from": "human", "value": "<image>x"}]}
    out = folder / "out.jsonl"

    assert data("convert", lines(folder / "a.jsonl", row, row, row | {"id": "8"}), out)[0] == 0
    assert [record.id for _, record in read_records(out)] == ["7", "7#2", "8"]

    code, _, err = data("convert", lines(folder / "b.jsonl", conversation(1), conversation(1)), out)
    assert (code, err) == (
        1,
        f"Error: {folder}/b.jsonl:2: the id 'r1' is used by an earlier row; make it unique\n",
    )


def test_converting_onto_the_file_itself_is_refused(folder: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl", conversation(1))

    code, _, err = data("convert", path, folder / "media" / ".." / "a.jsonl")

    assert code == 2
    assert "OUT is the same file as IN; choose another name" in err


def test_an_output_of_unknown_kind_is_refused(folder: Path, data: Run) -> None:
    path = lines(folder / "a.jsonl", conversation(1))

    code, _, err = data("convert", path, folder / "a.csv")

    assert (code, err) == (
        1,
        "Error: output: unknown ending '.csv'. Known: .jsonl, .parquet, .tar\n",
    )
