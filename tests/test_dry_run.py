"""What composing would download is told by the Hub's own API, here a local server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

FILES = {
    "model.safetensors": 2_200_119_864,
    "pytorch_model.bin": 4_400_000_000,
    "config.json": 608,
    "tokenizer.json": 1_842_767,
    "README.md": 7_000,
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path.startswith("/api/models/lab/model")
        siblings = [{"rfilename": name, "size": size} for name, size in FILES.items()]
        body = json.dumps({"id": "lab/model", "siblings": siblings} if known else {}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def dry_run(hub: str, folder: Path, siglip: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmmodal", "compose", str(folder / "out"), "--dry-run"]
    parts = ["--backbone", "auto:lab/model", "--encoder", f"image=siglip:{siglip}"]
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(folder / "cache")}
    return subprocess.run(
        [*command, *parts], capture_output=True, text=True, check=False, env=environment
    )


def test_files_and_sizes_are_those_that_loading_would_take(
    hub: str, tmp_path: Path, parts: dict[str, Path]
) -> None:
    done = dry_run(hub, tmp_path, parts["siglip"])
    assert done.returncode == 0, done.stderr
    assert "2200.1 MB  lab/model/model.safetensors" in done.stdout
    assert "pytorch_model.bin" not in done.stdout and "README" not in done.stdout
    assert "2202.0 MB  in total" in done.stdout
    assert not (tmp_path / "out").exists()


def test_an_unreachable_hub_leaves_the_size_unknown(tmp_path: Path, parts: dict[str, Path]) -> None:
    done = dry_run("http://127.0.0.1:9", tmp_path, parts["siglip"])
    assert done.returncode == 0, done.stderr
    assert "the size is unknown" in done.stdout
