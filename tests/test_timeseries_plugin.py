"""A modality by an outsider: installed, composed, trained, saved, reloaded and talked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beeps import Scene, Sound
from forking import run_forked
from worlds import ROOT, write_lines

FILES = {"image": "a.png", "timeseries": "c.csv", "audio": "b.wav"}
PLUGIN = ROOT / "examples/plugin-timeseries"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin installed from its folder into a place of its own, as pip would."""
    target = tmp_path_factory.mktemp("site")
    install = ["-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    subprocess.run([sys.executable, *install, str(PLUGIN)], check=True, cwd=target)
    return target


@pytest.fixture(scope="module")
def environment(site: Path) -> dict[str, str]:
    """Variables of a fresh Python that has it."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    Scene("red", "circle", 32, 32).draw(folder / "a.png")
    Sound(2, "low", 0.5).play(folder / "b.wav")
    series = np.sin(np.linspace(0, 6, 22))
    (folder / "c.csv").write_text("\n".join(f"{x:.4f}" for x in series) + "\n")
    record = {
        "id": "1",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "media": 0},
                    {"type": "timeseries", "media": 2},
                    {"type": "text", "text": "What?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
            {
                "role": "user",
                "content": [{"type": "audio", "media": 1}, {"type": "text", "text": "And?"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
        ],
        "media": [
            {"kind": "image", "uri": "a.png"},
            {"kind": "audio", "uri": "b.wav"},
            {"kind": "timeseries", "uri": "c.csv"},
        ],
    }
    write_lines(folder / "data.jsonl", [record])
    return folder


def succeed(site: Path, *arguments: object, typed: str = "") -> str:
    done = run_forked(*arguments, path=site, typed=typed)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(
    site: Path,
    composed: Callable[[str], Path],
    world: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    root = tmp_path_factory.mktemp("models")
    added = ("--from", composed("mistral"), "--encoder", "timeseries=patches")
    succeed(site, "compose", root / "three", *added)
    common = [f"data={world / 'data.jsonl'}", "batch_size=1", "max_tokens=512"]
    aligned = (f"model={root / 'three'}", f"out={root / 'aligned'}", *common, "max_steps=2")
    succeed(site, "train", "align", *aligned)
    out = f"out={root / 'out'}"
    more = ["max_steps=40", "learning_rate=3e-3"]
    succeed(site, "train", "instruct", f"model={root / 'aligned'}", out, *common, *more)
    return root / "out"


def test_the_plugin_is_listed(site: Path) -> None:
    plugins = json.loads(succeed(site, "plugins", "--json"))
    found = next(plugin for plugin in plugins if plugin["name"] == "timeseries")
    assert found["status"] == "ok" and found["package"] == "mmmodal-timeseries"
    assert "timeseries" in succeed(site, "modalities")


def test_its_own_conformance_tests_pass(environment: dict[str, str]) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "tests"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=PLUGIN
    )
    assert done.returncode == 0, done.stdout


def test_image_audio_and_timeseries_in_one_conversation(
    site: Path, trained: Path, world: Path
) -> None:
    given = ("--image", world / "a.png", "--timeseries", world / "c.csv")
    answer = succeed(site, "generate", trained, "--prompt", "What?", *given, "--max-new-tokens", 8)
    assert answer == "Yes.\n"
    media = [f"/{kind} {world / name}" for kind, name in FILES.items()]
    turns = "\n".join([media[0], media[1], "What?", media[2], "And?"])
    said = succeed(site, "chat", trained, "--max-new-tokens", 8, typed=turns)
    assert said == "Yes.\nNo.\n"


def test_a_buffer_that_is_not_saved_is_rebuilt_in_a_fresh_process(
    environment: dict[str, str], trained: Path
) -> None:
    code = f"""
import torch, mmmodal
model = mmmodal.load({str(trained)!r})
tower = model.model.tower("timeseries")
assert "frequency" not in tower.state_dict()
assert torch.equal(tower.frequency, model.model.encoders["timeseries"].build().frequency)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_the_processor_names_the_tensors_of_series(
    environment: dict[str, str], trained: Path
) -> None:
    """Its mask, too, which only series of different lengths have."""
    code = f"""
import torch
from mmmodal.making.loading import load_processor
processor = load_processor({str(trained)!r})
part = {{"type": "timeseries"}}
chat = [{{"role": "user", "content": [part, part, {{"type": "text", "text": "x"}}]}}]
series = [b"1\\n2\\n" * count for count in (11, 20)]
batch = processor(text=processor.apply_chat_template(chat), timeseries=series)
assert batch["timeseries_values_mask"].dtype == torch.bool
assert set(batch) < set(processor.model_input_names), processor.model_input_names
assert processor.timeseries_processor.model_input_names == [
    "timeseries_values", "timeseries_values_mask"
]
assert processor.timeseries_token == "<|timeseries|>"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_without_the_plugin_the_checkpoint_says_what_to_install(trained: Path) -> None:
    others = {"MMMODAL_PLUGINS": "vision-siglip,audio-whisper"} if _installed_here() else {}
    done = run_forked("generate", trained, "--prompt", "What?", **others)
    assert done.returncode == 1
    assert "mmmodal-timeseries" in done.stderr and "Traceback" not in done.stderr


def _installed_here() -> bool:
    from importlib.metadata import distributions

    return any(d.name == "mmmodal-timeseries" for d in distributions())


def test_a_bad_series_is_one_clear_error(site: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("1\ntwo\n")
    series = ("--timeseries", tmp_path / "bad.csv")
    done = run_forked("generate", trained, "--prompt", "x", *series, path=site)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: {tmp_path / 'bad.csv'}: not rows of numbers"
