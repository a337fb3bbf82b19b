"""A pipeline is checked whole before anything runs, and its parts are plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from language_server import serving
from mmmodal.cli.main import run
from mmmodal.config import validate
from mmmodal.errors import ConfigError, PartError
from mmmodal_datagen.parts import find, registry
from mmmodal_datagen.pipeline import Pipeline, load_pipeline, resolve
from worlds import write_lines


def write(folder: Path, text: str) -> str:
    path = folder / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = f"""
out: {tmp_path}/out
root: {tmp_path}
backends:
  writer: {{language_model: opnai}}
  ears: {{recogniser: transformers, options: {{sorce: x}}}}
steps:
  rows: {{step: import, options: {{files: [a.jsonl]}}}}
  dialogue: {{inputs: [row], options: {{turns: 0}}, use: {{translator: x}}}}
  composed: {{step: compse}}
"""
    with pytest.raises(ConfigError) as caught:
        load_pipeline(write(tmp_path, text))
    problems = "\n".join(caught.value.problems)
    for part in (
        "unknown language model 'opnai'. Did you mean 'openai'?",
        "unknown key 'sorce'. Did you mean 'source'?",
        "'row' is no step above. Did you mean 'rows'?",
        "'turns': input should be greater than or equal to 1",
        "unknown generator 'compse'. Did you mean 'compose'?",
    ):
        assert part in problems
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"out": "/elsewhere"}, "is outside of `root`"),
        ({"backends": {}}, "it needs a language_model: add one"),
        ({"backends": {"a": {}}}, "name one backend"),
        ({"splits": {"train": 0}}, "every share is above 0"),
    ],
)
def test_what_does_not_fit_is_an_error(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    writer = {"language_model": "openai", "options": {"model": "m"}}
    values = {
        "out": str(tmp_path / "out"),
        "root": str(tmp_path),
        "backends": {"writer": writer},
        "steps": {
            "rows": {"step": "import", "options": {"files": ["a.jsonl"]}},
            "dialogue": {"inputs": ["rows"]},
        },
    }
    with pytest.raises(ConfigError, match=reason):
        resolve(validate(Pipeline, values | changes, "test"))


def test_two_models_of_a_kind_need_a_word_which() -> None:
    models = {name: {"language_model": "openai", "options": {"model": name}} for name in ("a", "b")}
    steps: dict[str, Any] = {
        "rows": {"step": "import", "options": {"files": ["a.jsonl"]}},
        "dialogue": {"inputs": ["rows"]},
    }
    values = {"out": "out", "backends": models, "steps": steps}
    with pytest.raises(ConfigError, match="set 'use' to one of a, b"):
        resolve(validate(Pipeline, values, "test"))
    steps["dialogue"]["use"] = {"language_model": "b"}
    (_, dialogue) = resolve(validate(Pipeline, values, "test"))
    assert dialogue.models == {"language_model": "b"}


def test_only_what_decides_rows_changes_a_fingerprint() -> None:
    def fingerprint(**changes: Any) -> str:
        options = {"model": "m", "base_url": "http://a/v1"} | changes.pop("endpoint", {})
        values = {
            "out": "out",
            "backends": {"writer": {"language_model": "openai", "options": options}},
            "steps": {
                "rows": {"step": "import", "options": {"files": ["a.jsonl"]}},
                "dialogue": {"inputs": ["rows"], "options": changes.pop("options", {})},
            },
        }
        return resolve(validate(Pipeline, values | changes, "test"))[1].fingerprint

    same = fingerprint()
    assert fingerprint(concurrency=3) == same
    assert fingerprint(execution={"processes": 2}) == same
    assert fingerprint(endpoint={"timeout_s": 5, "retries": 1, "api_key_env": "K"}) == same
    assert fingerprint(splits={"train": 1}) == same
    assert fingerprint(seed=1) != same
    assert fingerprint(options={"turns": 2}) != same
    assert fingerprint(endpoint={"model": "n"}) != same
    assert fingerprint(endpoint={"base_url": "http://b/v1"}) != same
    assert fingerprint(endpoint={"revision": "v2"}) != same


def test_steps_and_backends_are_found_through_hooks() -> None:
    assert {"import", "dialogue", "compose", "gate", "export"} <= set(
        registry().names("generators")
    )
    assert {"openai", "transformers"} <= set(registry().names("language_models"))
    assert {"transformers", "whisper"} <= set(registry().names("recognisers"))
    assert "seq2seq" in registry().names("translators")
    with pytest.raises(PartError, match="Did you mean 'whisper'"):
        find("recognisers", "wisper")


def test_help_lists_every_step_and_a_steps_help_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["datagen", "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("run", "parts", "import", "dialogue", "gate", "export"))
    for name in registry().names("generators"):
        assert run(["datagen", name, "--help"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        part = find("generators", name)
        assert all(f" {key} " in shown for key in part.Options.model_fields)
        assert all(preset in shown for preset in part.presets)
        assert name != "compose" or "The least number of rows in a session. [default: 2]" in shown


def test_a_step_runs_on_files_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = [{"type": "text", "text": "Why?"}]
    row = {
        "id": "clip",
        "kind": "clip",
        "turns": [{"role": "user", "content": question}],
        "media": [{"kind": "audio", "uri": "a.mp3", "description": "transkrip"}],
        "groups": ["a"],
    }
    write_lines(tmp_path / "rows.jsonl", [row])
    with serving() as server:
        backend = f"language_model:openai,model=m,base_url={server.url}"
        arguments = [str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out"), "--json"]
        settings = ["--set", "turns=1", "--set", "run.seed=3", "--backend", backend]
        assert run(["datagen", "dialogue", *arguments, *settings]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["rows"] == 1
    assert len(told["files"]) == 1
    assert Path(told["files"][0]).is_file()


def test_a_pipeline_file_runs_from_the_command_line_with_overrides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "id": "r",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
        ],
    }
    write_lines(tmp_path / "rows.jsonl", [row])
    text = f"""
out: {tmp_path}/out
root: {tmp_path}
steps:
  rows: {{step: import, options: {{files: [rows.jsonl]}}}}
  export: {{inputs: rows}}
"""
    path = write(tmp_path, text)
    assert run(["datagen", "run", path, "steps.export.options.to=[paper]"]) == 0
    assert "export" in capsys.readouterr().out
    assert (tmp_path / "out/export/paper/train.jsonl").is_file()
    assert json.loads((tmp_path / "out/summary.json").read_text())[1]["notes"] == {"rows_train": 1}


def test_ray_that_is_not_installed_is_told(tmp_path: Path) -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        from mmmodal_datagen.run.executors.executor import executor

        values = {"out": str(tmp_path), "execution": {"kind": "ray"}, "steps": {"import": {}}}
        with pytest.raises(PartError, match=r"pip install mmmodal-datagen\[ray\]"):
            executor(validate(Pipeline, values, "test"))
    else:
        pytest.skip("Ray is installed")
