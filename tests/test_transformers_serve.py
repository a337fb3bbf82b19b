"""`python -m mmmodal.auto serve FOLDER` is `transformers serve` for composed models."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

import mmmodal
from mmmodal.modalities.audio import Waveform
from worlds import clip, picture

pytest.importorskip("fastapi", reason="what `transformers serve` needs; it is in the dev group")
SECONDS = 120  # until it serves; another test may use the machine


@pytest.fixture(scope="module")
def server(start: Path) -> Iterator[str]:
    """The address of a server of the model in `start`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mmmodal.auto", "serve", str(start), "--device", "cpu"]
    place = ["--host", "127.0.0.1", "--port", str(port)]
    settings = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([*command, *place], env=settings)
    try:
        wait(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def wait(process: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"it does not serve; exit code {process.poll()}")


def as_url(image: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def as_data(sound: Waveform) -> dict[str, Any]:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sound.rate)
        out.writeframes((sound.samples * 32767).astype(np.int16).tobytes())
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def ask(server: str, model: Path, content: Any) -> dict[str, Any]:
    request = {
        "model": str(model),
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 8,
        "temperature": 0.0,
    }
    headers = {"content-type": "application/json"}
    address = f"{server}/v1/chat/completions"
    with urlopen(Request(address, json.dumps(request).encode(), headers), timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_it_answers_about_pictures_as_the_model_does(server: str, start: Path) -> None:
    talk = mmmodal.Chat(mmmodal.load(start), max_new_tokens=8, do_sample=False)
    for number in (1, 2):
        answer = ask(server, start, [as_url(picture(number)), {"type": "text", "text": "What?"}])
        talk.reset()
        said = talk.say("What?", images=[picture(number)])
        assert answer["choices"][0]["message"]["content"].strip() == said.strip()
    text = ask(server, start, "What?")
    assert answer["usage"]["prompt_tokens"] > text["usage"]["prompt_tokens"] + 16


def test_it_hears_recordings(server: str, start: Path) -> None:
    content = [as_data(clip(1)), as_url(picture(1)), {"type": "text", "text": "What?"}]
    answer = ask(server, start, content)
    assert answer["usage"]["completion_tokens"] == 8 or answer["choices"][0]["finish_reason"]
    silent = ask(server, start, content[1:])
    assert answer["usage"]["prompt_tokens"] > silent["usage"]["prompt_tokens"]
