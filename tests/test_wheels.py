"""Wheels of core and one encoder alone, in a fresh environment, make a model that talks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmmodal_playground.speech import Voice, save_speech
from whisper_models import encode, openai_whisper, save_openai
from worlds import ROOT, clip, record, write_lines

ENCODE = """
import sys
import numpy as np
import torch
from mmmodal.modalities.audio import Waveform
from mmmodal_audio_whisper import Whisper

source, sound, out = sys.argv[1:]
encoder = Whisper.from_source(source, {})
tower = encoder.build().eval()
tower.load_state_dict(dict(encoder.load(source)))
inputs = encoder.collate([encoder.preprocess(Waveform(np.load(sound), 44_100))])
with torch.no_grad():
    np.save(out, tower(**inputs)[0].numpy())
"""


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        **settings,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `mmmodal` of an environment that holds two wheels and what they ask for."""
    folder = tmp_path_factory.mktemp("wheels")
    uv = [sys.executable, "-m", "uv"]
    for package in ("core", "audio-whisper"):
        build = ["build", "-q", "--wheel", "--out-dir", folder, ROOT / "packages" / package]
        run(*uv, *build)
    run(*uv, "venv", "-q", "--python", sys.executable, folder / "env")
    python = folder / "env/bin/python"
    constraints = ["-c", ROOT / "constraints.txt"]
    run(*uv, "pip", "install", "-q", "--python", python, *constraints, *folder.glob("*.whl"))
    listed = json.loads(run(*uv, "pip", "list", "--python", python, "--format", "json").stdout)
    ours = {row["name"] for row in listed if row["name"].startswith("mmmodal")}
    assert ours == {"mmmodal-core", "mmmodal-audio-whisper"}
    return folder / "env/bin/mmmodal"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("format", ["transformers", "openai"])
def test_two_wheels_give_a_working_encoder(
    command: Path, parts: dict[str, Path], tmp_path: Path, format: str
) -> None:
    if format == "openai":
        source = save_openai(openai_whisper(), tmp_path / "mine.pt")
    else:
        source = parts["whisper"]
    sound = clip(seconds=3.0, rate=44_100)
    np.save(tmp_path / "sound.npy", sound.samples)
    files = [source, tmp_path / "sound.npy", tmp_path / "features.npy"]
    environment = {**os.environ, "PYTHONPATH": ""}
    run(command.with_name("python"), "-c", ENCODE, *files, cwd=tmp_path, env=environment)
    expected = encode(source, [sound])[0].numpy()
    np.testing.assert_allclose(np.load(files[-1]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_wheels_compose_train_and_chat(
    command: Path, parts: dict[str, Path], tmp_path: Path
) -> None:
    save_speech(tmp_path / "a.wav", "a red circle", Voice("en"))
    write_lines(tmp_path / "data.jsonl", [record("1", ("audio", "a.wav"), answer="Two beeps.")])
    quiet = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "2"}}
    whisper = f"audio=whisper:{parts['whisper']}"
    given = ["--backbone", f"auto:{parts['llama']}", "--encoder", whisper]
    run(command, "compose", "start", *given, **quiet)
    common = ["data=data.jsonl", "batch_size=1"]
    run(command, "train", "align", "model=start", "out=aligned", *common, "max_steps=2", **quiet)
    more = ["learning_rate=3e-3", "max_steps=40"]
    run(command, "train", "instruct", "model=aligned", "out=chatty", *common, *more, **quiet)
    said = run(command, "chat", "chatty", "--audio", "a.wav", input="\n", **quiet)
    assert said.stdout == "Two beeps.\n"
