"""Data sets that a `dataset_info.json` of LLaMA-Factory describes, in the layouts that it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_hub import data_hub, instead_of_the_hub_of_data
from foreign_rows import shown
from mmmodal.cli.main import run
from mmmodal.errors import RecordError
from mmmodal.records.dataset import RecordDataset, read_records
from mmmodal.records.shards import find_shards
from mmmodal.samples.dataset import open_files
from mmmodal.train.recipe.data_source import DataSource
from worlds import picture, write_lines

Run = Callable[..., tuple[int, str, str]]

TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}  # fmt: skip
CHAT = [
    {"content": "<image>Who are they?", "role": "user"},
    {"content": "Kane and Gretzka.", "role": "assistant"},
]
TURNS = [{"from": "human", "value": "<image>Who?"}, {"from": "gpt", "value": "Kane."}]

ENTRIES: dict[str, Any] = {
    "identity": {"file_name": "identity.json"},
    "mllm_demo": {
        "file_name": "mllm_demo.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": TAGS,
    },
    "renamed": {
        "file_name": "deep/renamed.jsonl",
        "formatting": "sharegpt",
        "subset": None,
        "columns": {"messages": "talk", "images": "pics", "system": "rules", "tools": None},
        "tags": TAGS | {"role_tag": "who", "system_tag": None},
    },
    "riddles": {
        "file_name": "riddles",
        "split": "train",
        "columns": {"prompt": "question", "response": "answer", "images": "image"},
    },
    "hub": {
        "hf_hub_url": "lab/chats",
        "ms_hub_url": "lab/chats",
        "subset": "en",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
    },
    "hub_folder": {"hf_hub_url": "lab/chats", "folder": "ms", "formatting": "sharegpt"},
    "dpo": {"file_name": "identity.json", "ranking": True, "columns": {"response": "chosen"}},
    "chosen": {"file_name": "x.json", "formatting": "sharegpt", "columns": {"rejected": "bad"}},
    "kto": {"file_name": "x.json", "columns": {"response": "output", "kto_tag": "label"}},
    "pretraining": {"file_name": "c4.jsonl", "columns": {"prompt": "text"}},
    "modelscope": {"ms_hub_url": "lab/chats", "file_name": "identity.json"},
    "script": {"script_url": "belle"},
    "nowhere": {"formatting": "sharegpt"},
    "sampled": {"file_name": "identity.json", "num_samples": 10},
    "other": {"file_name": "identity.json", "formatting": "chatml", "colums": {}},
    "tagged": {"file_name": "identity.json", "tags": TAGS},
    "gone": {"file_name": "gone.json"},
    "leaves": {"file_name": "identity.json", "folder": "x"},
    "both": {"hf_hub_url": "lab/chats", "folder": "x", "subset": "en"},
}


@pytest.fixture
def info(tmp_path: Path) -> Path:
    """Write the description beside data of the layouts that it names."""
    for name in ("pics", "deep", "riddles"):
        (tmp_path / name).mkdir()
    picture().save(tmp_path / "pics/1.png")
    rows = [{"instruction": "Who are you?", "input": "", "output": "A model."}]
    (tmp_path / "identity.json").write_text(json.dumps(rows, indent=2))
    rows = [{"messages": CHAT, "images": ["pics/1.png"]}]
    (tmp_path / "mllm_demo.json").write_text(json.dumps(rows, indent=2))
    said = [{"who": turn["role"], "content": turn["content"]} for turn in CHAT]
    write_lines(
        tmp_path / "deep/renamed.jsonl", [{"talk": said, "pics": ["pics/1.png"], "rules": "Short."}]
    )
    write_lines(
        tmp_path / "riddles/a.jsonl",
        [{"question": "What?", "answer": "Red.", "image": "pics/1.png"}],
    )
    path = tmp_path / "dataset_info.json"
    path.write_text(json.dumps(ENTRIES, indent=2))
    return path


def turns(path: Path, name: str) -> list[tuple[str, str]]:
    ((_, record),) = read_records(find_shards(path, name=name))
    return shown(record)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", [("user", "Who are you?"), ("assistant", "A model.")]),
        ("mllm_demo", [("user", "{pics/1.png}Who are they?"), ("assistant", "Kane and Gretzka.")]),
        (
            "renamed",
            [
                ("system", "Short."),
                ("user", "{pics/1.png}Who are they?"),
                ("assistant", "Kane and Gretzka."),
            ],
        ),
        ("riddles", [("user", "{pics/1.png}What?"), ("assistant", "Red.")]),
    ],
)
def test_a_described_data_set_is_read_everywhere(
    info: Path, name: str, expected: list[tuple[str, str]], data: Run
) -> None:
    assert turns(info, name) == expected
    assert data("check", info, "--name", name) == (0, "1 record, no errors\n", "")
    assert (
        data("convert", info, info.parent / "out.jsonl", "--name", name, "--media", "embed")[0] == 0
    )
    assert (
        json.loads(data("stats", info, "--name", name, "--json", "--duplicates")[1])["records"] == 1
    )
    for streaming in (False, True):
        source = DataSource(path=str(info), name=name, streaming=streaming)
        (opened,) = open_files([source])
        assert opened
    ((_, record),) = RecordDataset(find_shards(info, name=name))
    assert shown(record) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, r"dataset_info.json: it describes several data sets: identity, mllm_demo, renamed"),
        ("mlm_demo", r"it describes no data set 'mlm_demo'. Did you mean 'mllm_demo'"),
        ("dpo", r"json \(dpo\): .*it is a set of preferences \('ranking'\), which are not trained"),
        ("chosen", r"'rejected' is not supported, as preferences are not trained on"),
        ("kto", r"'kto_tag' is not supported, as every answer is learned"),
        ("pretraining", r"its columns name no 'response', so that nothing would be learned"),
        ("modelscope", r"its place must be 'hf_hub_url' or 'file_name', but it has ms_hub_url"),
        ("script", r"but it has script_url"),
        ("nowhere", r"but it has neither"),
        ("sampled", r"'num_samples' is not supported; remove it, and use `weight`"),
        ("other", r"'formatting': .*'alpaca' or 'sharegpt'.*; unknown key 'colums'"),
        ("tagged", r"unknown key 'tags'"),
        ("gone", r"gone.json: no such file"),
        ("leaves", r"'folder' and 'subset' are of data sets of the Hub"),
        ("both", r"it has 'folder' and 'subset'; keep one"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    info: Path, name: str | None, message: str, data: Run
) -> None:
    code, out, err = data("check", info, *(("--name", name) if name else ()))

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    with pytest.raises(RecordError, match=message):
        find_shards(info, name=name)


def test_only_a_description_that_is_named_is_used(info: Path) -> None:
    path = info.parent / "deep/renamed.jsonl"

    with pytest.raises(RecordError, match="no format has its keys"):
        [*read_records(path)]


def test_a_format_beside_a_description_is_refused(info: Path, data: Run) -> None:
    code, _, err = data("check", info, "--name", "identity", "--format", "alpaca")

    assert (code, "it says itself that its format is 'alpaca'; leave out `format`" in err) == (
        1,
        True,
    )
    source = DataSource(path=str(info), name="identity", format="alpaca")
    with pytest.raises(RecordError, match="leave out `format`"):
        open_files([source])
    assert "nothing to guess" in data("guess", info, "--name", "identity")[2]


@pytest.mark.parametrize(
    "text", ["[]", "{}", '[{"file_name": "a"}]', '{"features": {}, "version": "1.0"}', "{", "\xff"]
)
def test_a_file_that_describes_no_data_sets_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dataset_info.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(RecordError, match=r"dataset_info.json: ") as caught:
        find_shards(path, name="a")
    assert "\n" not in str(caught.value)


def test_a_description_of_one_data_set_needs_no_name(info: Path) -> None:
    info.write_text(json.dumps({"identity": ENTRIES["identity"]}))

    assert len([*read_records(info)]) == 1


CONFIGS = """---
configs:
- config_name: en
  data_files: [{split: train, path: en/a.jsonl}, {split: test, path: en/b.jsonl}]
- config_name: ms
  data_files: ms/a.jsonl
---
"""


def test_a_described_data_set_of_the_hub_is_read_at_one_commit(
    info: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab/chats").mkdir(parents=True)  # which is not meant
    row = {"conversations": TURNS, "images": ["https://x.org/a.png"]}
    lines = (json.dumps(row) + "\n").encode()
    with data_hub() as hub, instead_of_the_hub_of_data(hub, tmp_path / "cache"):
        files = {"README.md": CONFIGS.encode(), "ms/a.jsonl": lines * 2, "en/b.jsonl": lines * 3}
        commit = hub.add("lab/chats", {**files, "en/a.jsonl": lines})
        found = find_shards(info, name="hub")

        assert found.notes == {"revision": commit}
        assert len([*read_records(found)]) == 1
        assert len([*read_records(find_shards(info, name="hub", split="test"))]) == 3
        assert len([*read_records(find_shards(info, name="hub_folder"))]) == 2
        hub.add("lab/chats", {**files, "en/a.jsonl": lines * 4})
        assert len([*read_records(find_shards(info, name="hub"))]) == 4
        assert len([*read_records(find_shards(info, name="hub", revision=commit))]) == 1


def test_the_commit_of_a_described_data_set_is_noted_by_its_name(
    info: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmmodal.train.recipe.recipe import load_recipe
    from mmmodal.train.run.revisions import pinned

    monkeypatch.chdir(tmp_path)
    with data_hub() as hub, instead_of_the_hub_of_data(hub, tmp_path / "cache"):
        commit = hub.add("lab/chats", {"README.md": CONFIGS.encode(), "en/a.jsonl": b""})
        entry = [{"path": str(info), "name": name} for name in ("hub", "identity")]
        recipe = load_recipe("align", [f"data={json.dumps(entry)}", "model=m", "out=o"])

        assert [each.revision for each in pinned(recipe, fresh=True).data] == [commit, None]


def test_the_command_takes_the_options_of_named_columns(info: Path) -> None:
    path = info.parent / "deep/renamed.jsonl"
    names = ["columns.messages=talk", "columns.images=pics", "columns.system=rules"]
    names += ["tags.role_tag=who", "tags.content_tag=content"]
    sets = [word for name in names for word in ("--set", name)]

    assert (
        run(["data", "check", str(path), "--format", "llava", *sets, "--root", str(info.parent)])
        == 0
    )
