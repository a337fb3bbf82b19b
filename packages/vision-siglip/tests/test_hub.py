"""open_clip's repositories on the Hub, here a local server that speaks the Hub's API."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import tiny_open_clip as tiny

REPOSITORY = "lab/siglip"
COMMIT = "0" * 40

LOAD = """
import json, sys
import tiny_open_clip  # so that timm knows the trunk
from mmmodal_vision_siglip import Siglip
told = {}
for source in sys.argv[1:]:
    encoder = Siglip.from_source(source, {})
    before = encoder.download_size(source)
    total = sum(tensor.double().abs().sum().item() for _, tensor in encoder.load(source))
    told[source] = [before, total, encoder.download_size(source)]
print(json.dumps(told))
"""


class Hub(BaseHTTPRequestHandler):
    folder: Path

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        name = self.path.partition("?")[0].removeprefix(f"/{REPOSITORY}/resolve/main/")
        if self.path.startswith(f"/api/models/{REPOSITORY}"):
            files = [{"rfilename": f.name, "size": f.stat().st_size} for f in self.folder.iterdir()]
            data = json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": files}).encode()
        elif (self.folder / name).is_file():
            data = (self.folder / name).read_bytes()
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    Hub.folder = tmp_path / "files"
    tiny.write(Hub.folder, tiny.model_config())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Hub.folder
    server.shutdown()


def test_repository_of_open_clip_is_downloaded_with_and_without_its_prefix(
    hub: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = hub
    here = os.pathsep.join([str(Path(tiny.__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache")}
    sources = [f"hf-hub:{REPOSITORY}", REPOSITORY, str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *sources],
        env={**environment, "PYTHONPATH": here},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, local = json.loads(done.stdout.splitlines()[-1]).values()
    file = folder / "open_clip_model.safetensors"
    assert first[0] == [[file.name, file.stat().st_size]]
    assert first[2] == second[0] == local[0] == []
    assert first[1] == second[1] == local[1]
