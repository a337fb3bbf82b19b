"""What a user draws and speaks can be read by every other command."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmmodal
from mmmodal.cli.main import run
from mmmodal_playground.parts import part_folder


def test_a_picture_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "star.png"
    assert run(["playground", "draw", "red", "star", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    from PIL import Image

    with Image.open(out) as picture:
        assert picture.size == (128, 128) and picture.mode == "RGB"


def test_a_clip_of_ones_own(tmp_path: Path) -> None:
    import soundfile

    out = tmp_path / "clip.wav"
    assert run(["playground", "say", "di mana bintang merah", str(out), "--lang", "ms"]) == 0
    samples, rate = soundfile.read(out)
    assert rate == 16_000 and 1 < len(samples) / rate < 3


def test_raw_material_is_the_same_for_the_same_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    made = []
    for name in ("a", "b"):
        out = tmp_path / name
        assert run(["playground", "raw", str(out), "--n", "1"]) == 0
        assert capsys.readouterr().out.strip() == str(out)
        found = sorted(path for path in out.rglob("*") if path.is_file())
        made.append({str(path.relative_to(out)): path.read_bytes() for path in found})
    assert made[0] == made[1]
    assert {"pictures.jsonl", "spoken.jsonl", "recordings/en-000.wav"} <= made[0].keys()
    samples, rate = soundfile.read(tmp_path / "a/recordings/en-000.wav")
    assert len(samples) / rate > 8  # eight phrases with a second between


def test_the_language_model_is_served_until_it_is_stopped() -> None:
    import json
    import signal
    import subprocess
    import sys
    import urllib.request

    command = [sys.executable, "-m", "mmmodal", "playground", "serve", "--port", "0"]
    # A shell's background job ignores interrupts, and hands that down.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        signal.signal(signal.SIGINT, before)
        assert it.stdout is not None and it.stderr is not None
        address = it.stdout.readline().strip()
        listed = json.load(urllib.request.urlopen(f"{address}/models", timeout=60))
        it.send_signal(signal.SIGINT)
        assert it.wait(60) == 130
        assert "Traceback" not in it.stderr.read()
    assert listed["data"][0]["id"] == "playground-llama"


def test_a_voice_that_is_missing_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["playground", "say", "hello", str(tmp_path / "a.wav"), "--voice", "xx-none"]
    assert run(command) == 1
    error = capsys.readouterr().err
    assert "no voice 'xx-none'" in error and "Traceback" not in error


def test_the_trained_parts_are_plugins(tmp_path: Path) -> None:
    model = mmmodal.compose(
        tmp_path / "model",
        backbone="playground-llama",
        encoders={"image": "playground-siglip", "audio": "playground-whisper"},
    )
    assert set(model.processor.modalities) == {"image", "audio"}
    reloaded = mmmodal.load(tmp_path / "model")
    assert reloaded.num_parameters() == model.num_parameters()


def test_a_plugin_of_damaged_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from mmmodal_playground import parts

    copy = Path(shutil.copytree(part_folder("siglip").parent, tmp_path / "trained"))
    with (copy / "siglip" / "model.safetensors").open("ab") as file:
        file.write(b"more")
    monkeypatch.setattr(parts, "shipped", lambda: copy)
    with pytest.raises(parts.DamagedPartError, match="has been changed"):
        mmmodal.compose(backbone="playground-llama", encoders={"image": "playground-siglip"})
