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
from worlds import ROOT, write_lines

FILES = {"image": "a.png", "timeseries": "c.csv", "audio": "b.wav"}
PLUGIN = ROOT / "examples/plugin-timeseries"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The plugin installed from its folder into a place of its own, as pip would."""
    target = tmp_path_factory.mktemp("site")
    install = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(target),
    ]
    subprocess.run([*install, str(PLUGIN)], check=True, cwd=target)
    paths = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
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


def mmmodal(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmmodal", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def succeed(environment: dict[str, str], *arguments: object) -> str:
    done = mmmodal(environment, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(
    environment: dict[str, str],
    composed: Callable[[str], Path],
    world: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    root = tmp_path_factory.mktemp("models")
    added = ("--from", composed("mistral"), "--encoder", "timeseries=patches")
    succeed(environment, "compose", root / "three", *added)
    common = [f"data={world / 'data.jsonl'}", "batch_size=1", "max_tokens=512"]
    succeed(
        environment,
        "train",
        "align",
        f"model={root / 'three'}",
        f"out={root / 'aligned'}",
        *common,
        "max_steps=2",
    )
    out = f"out={root / 'out'}"
    more = ["max_steps=40", "learning_rate=3e-3"]
    succeed(environment, "train", "instruct", f"model={root / 'aligned'}", out, *common, *more)
    return root / "out"


def test_the_plugin_is_listed(environment: dict[str, str]) -> None:
    plugins = json.loads(succeed(environment, "plugins", "--json"))
    found = next(plugin for plugin in plugins if plugin["name"] == "timeseries")
    assert found["status"] == "ok" and found["package"] == "mmmodal-timeseries"
    assert "timeseries" in succeed(environment, "modalities")


def test_its_own_conformance_tests_pass(environment: dict[str, str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(PLUGIN / "tests"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=PLUGIN
    )
    assert done.returncode == 0, done.stdout


def test_image_audio_and_timeseries_in_one_conversation(
    environment: dict[str, str], trained: Path, world: Path
) -> None:
    answer = succeed(
        environment,
        "generate",
        trained,
        "--prompt",
        "What?",
        "--image",
        world / "a.png",
        "--timeseries",
        world / "c.csv",
        "--max-new-tokens",
        8,
    )
    assert answer == "Yes.\n"
    media = [f"/{kind} {world / name}" for kind, name in FILES.items()]
    turns = "\n".join([media[0], media[1], "What?", media[2], "And?"])
    command = [sys.executable, "-m", "mmmodal", "chat", str(trained), "--max-new-tokens", "8"]
    done = subprocess.run(
        command, input=turns, capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "Yes.\nNo.\n", done.stderr


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


def test_without_the_plugin_the_checkpoint_says_what_to_install(trained: Path, world: Path) -> None:
    if _installed_here():
        environment = {**os.environ, "MMMODAL_PLUGINS": "vision-siglip,audio-whisper"}
    else:
        environment = dict(os.environ)
    done = mmmodal(environment, "generate", trained, "--prompt", "What?")
    assert done.returncode == 1
    assert "mmmodal-timeseries" in done.stderr and "Traceback" not in done.stderr


def _installed_here() -> bool:
    from importlib.metadata import distributions

    return any(d.name == "mmmodal-timeseries" for d in distributions())


def test_a_bad_series_is_one_clear_error(
    environment: dict[str, str], trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("1\ntwo\n")
    done = mmmodal(
        environment, "generate", trained, "--prompt", "x", "--timeseries", tmp_path / "bad.csv"
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: {tmp_path / 'bad.csv'}: not rows of numbers"
