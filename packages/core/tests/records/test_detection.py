"""The format of a row is found, or named; what is none is one RecordError."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_packages import install, run_mmmodal, run_python
from foreign_rows import (
    EXAMPLES,
    LLAVA,
    OPENAI,
    SESSION,
    read,
    refuses,
    write,
)
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.detection import find_format, formats


def test_a_row_of_no_known_format_is_told_what_rows_look_like() -> None:
    refuses(
        {"prompt": "x", "reply": "y"},
        r"no format has its keys \('prompt', 'reply'\). .*llava: ",
    )
    refuses([1], r"a row must be a JSON object \{…\}, got list")


def test_a_format_can_be_named_and_a_wrong_name_is_told_what_was_meant() -> None:
    refuses(LLAVA, r"'conversations.0.role' is missing", "paper")
    with pytest.raises(ConfigError, match="unknown format 'llama'. Did you mean 'llava'"):
        find_format("llama")


def test_a_row_that_two_formats_claim_must_be_named() -> None:
    row = LLAVA | {"messages": OPENAI["messages"]}

    refuses(row, r"its format may be llava and openai; choose one with --format")


def test_columns_that_hold_json_as_text_are_opened() -> None:
    row = {**LLAVA, "conversations": json.dumps(LLAVA["conversations"])}

    assert read(row) == read(LLAVA)
    refuses({**LLAVA, "conversations": "[{"}, r"'conversations': not valid JSON")


SHOUT = """
import mmmodal
from mmmodal.authoring.records import Record, text_message

class Options(mmmodal.Config):
    answer: str = "yes"

class Shout(mmmodal.Format):
    name = "shout"; shape = "`shout`"; Options = Options
    def matches(self, row): return "shout" in row
    def uses(self, row): return ("shout",)
    def read(self, row, place):
        if row["shout"] == 7:
            raise KeyError("seven")
        asked = text_message("user", row["shout"])
        told = text_message("assistant", self.options.answer)
        return [Record(id=place.fallback_id, messages=(asked, told))]

@mmmodal.hookimpl
def mmmodal_formats(): return [Shout]
"""


def test_a_plugin_brings_a_format_with_options(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-shout", SHOUT)
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"shout": "HEY"}\n{"shout": "YOU", "photo": "a.png"}\n')

    listed = json.loads(run_mmmodal("formats", "--json", path=tmp_path).stdout)
    told = json.loads(run_mmmodal("data", "check", str(rows), "--json", path=tmp_path).stdout)
    out = tmp_path / "b.jsonl"
    rows.write_text('{"shout": "HEY"}\n')
    command = ("data", "convert", str(rows), str(out), "--format", "shout", "--set", "answer=no")
    written = run_mmmodal(*command, path=tmp_path)
    wrong = run_mmmodal(*command[:-1], "anser=no", path=tmp_path)
    back = run_mmmodal("data", "convert", str(out), str(rows), "--to", "shout", path=tmp_path)

    (row,) = [each for each in listed if each["name"] == "shout"]
    assert (row["package"], row["shape"]) == ("mmmodal-shout", "`shout`")
    assert [option["name"] for option in row["options"]] == ["answer"]
    assert told["records"] == 1 and "'photo' names a medium" in told["errors"][0]["reason"]
    assert written.returncode == 0, written.stderr
    assert json.loads(out.read_text())["messages"][1]["content"][0]["text"] == "no"
    assert wrong.returncode == 1
    assert "options of the format 'shout': unknown key 'anser'. Did you mean" in wrong.stderr
    assert back.returncode == 1 and "rows of the format 'shout' are read, but not" in back.stderr


def test_a_format_that_fails_is_named_with_its_package(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-shout", SHOUT)
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"shout": 7}\n')

    result = run_mmmodal("data", "check", str(rows), path=tmp_path)

    assert result.returncode == 1
    assert "format 'shout' (mmmodal-shout 0.1): `read` raised KeyError: 'seven'" in result.stderr


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ('shape = ""', ""),
        ("shape = 3", "Shout has no `shape`"),
        ("structured = 'a'", "not a tuple"),
    ],
)
def test_a_format_must_say_what_its_rows_look_like(
    attribute: str, reason: str, tmp_path: Path
) -> None:
    install(tmp_path, "mmmodal-shout", SHOUT.replace("Options = Options", attribute))

    result = run_mmmodal("plugins", "check", "shout", path=tmp_path)

    assert (result.returncode == 1) is bool(reason)
    assert reason in result.stderr


def test_markers_of_a_modality_that_a_plugin_brings_are_understood(tmp_path: Path) -> None:
    install(
        tmp_path,
        "mmmodal-smell",
        "import mmmodal\n"
        "class Smell(mmmodal.Modality):\n"
        "    name = 'smell'; begin = '[sniff]'\n"
        "    def read(self, source, limits): ...\n"
        "@mmmodal.hookimpl\n"
        "def mmmodal_modalities(): return [Smell]\n",
    )
    script = (
        "from mmmodal.contracts.format import Place\n"
        "from mmmodal.records.detection import read_row\n"
        "row = {'id': '1', 'filename': ['a', 'b'], 'conversations':"
        " [{'role': 'user', 'content': '[sniff]<image>x'}]}\n"
        "format, records = read_row(row, Place('x', 'x'))\n"
        "print([ref.kind for ref in records[0].media], format.write(records, 'x') == row)"
    )

    result = run_python("-c", script, path=tmp_path)

    assert result.stdout == "['smell', 'image'] True\n", result.stderr


def test_each_format_describes_itself() -> None:
    assert {"llava", "native", "openai", "paper"} <= {*formats()}
    assert all(each.name == name and each.shape for name, each in formats().items())


GOOD_ROWS = [*EXAMPLES, LLAVA, OPENAI, write("native", *read(SESSION))]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["<image>", "[", '[{"role": 1}]', "\ud800", "user", "image", "a.mp3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "from", "value", "media", "\ud800"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@st.composite
def damaged_rows(draw: st.DrawFn) -> Any:
    """Draw a good row in which something is replaced, removed, repeated or added."""
    row = copy.deepcopy(draw(st.sampled_from(GOOD_ROWS)))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = row
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.booleans()):
                holder = holder[key]
                continue
            action = draw(st.sampled_from(["replace", "remove", "repeat", "add"]))
            if action == "remove":
                del holder[key]
            elif action == "replace":
                holder[key] = draw(JUNK)
            elif isinstance(holder, dict):
                holder[
                    draw(st.sampled_from(["media", "image", "chat", "messages", "id", "meta"]))
                ] = draw(JUNK)
            else:
                holder.append(draw(JUNK) if action == "add" else copy.deepcopy(holder[key]))
            break
    return row


NAMES = sorted({*formats()} - {"columns"})  # which needs options


@settings(max_examples=300, deadline=None)
@given(row=damaged_rows() | JUNK, name=st.sampled_from([None, None, None, *NAMES]))
def test_a_damaged_row_is_a_record_or_a_record_error(row: Any, name: str | None) -> None:
    try:
        records = read(row, name)
    except RecordError as error:
        assert str(error).startswith("f.jsonl:3: ")
        str(error).encode("utf-8")
        assert len(str(error)) < 3000
    else:
        assert all(isinstance(record, Record) for record in records)
