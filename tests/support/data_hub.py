"""The part of the Hub's API that reading data sets needs, as a local HTTP server.

Each commit of a data set is a mapping of files. The token `good` may read private ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from local_hub import instead_of_the_hub, served

__all__ = ["DataHub", "data_hub", "instead_of_the_hub_of_data"]


@dataclass
class DataHub:
    """The state of the server."""

    url: str = ""
    commits: dict[str, list[Mapping[str, bytes]]] = field(default_factory=dict)
    """The files of every commit of each data set, by its id."""

    private: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    downloads: list[str] = field(default_factory=list)
    """The files that were downloaded, in order."""

    def add(self, name: str, files: Mapping[str, bytes]) -> str:
        """Commit files as the whole of a data set; return the commit."""
        commits = self.commits.setdefault(name, [])
        commits.append(dict(files))
        return self.commit(name, len(commits) - 1)

    def commit(self, name: str, number: int) -> str:
        """Return the SHA of a commit."""
        return hashlib.sha1(f"{name} {number}".encode()).hexdigest()

    def find(self, name: str, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """Return the SHA and files of a revision; None if there is none."""
        shas = [self.commit(name, number) for number in range(len(self.commits[name]))]
        known = dict(zip(shas, self.commits[name], strict=True))
        sha = shas[-1] if revision == "main" else shas[0] if revision == "first" else revision
        return (sha, known[sha]) if sha in known else None


@contextlib.contextmanager
def data_hub() -> Iterator[DataHub]:
    """Yield the state of a running server."""
    hub = DataHub()
    with served(hub, _Handler):
        yield hub


@contextlib.contextmanager
def instead_of_the_hub_of_data(hub: DataHub, cache: Path) -> Iterator[pytest.MonkeyPatch]:
    """Make huggingface_hub and datasets in this process use `hub`, and `cache` for downloads."""
    import datasets
    from huggingface_hub import HfFileSystem

    with instead_of_the_hub(hub, cache / "hub") as patch:
        patch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache / "datasets"))
        patch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        HfFileSystem.clear_instance_cache()
        yield patch
        HfFileSystem.clear_instance_cache()


class _Handler(BaseHTTPRequestHandler):
    hub: DataHub
    headers: Message
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)", self._path()):
            if at := self._open(*found.groups()):
                paths = parse_qs(body).get("paths") or json.loads(body or "{}").get("paths", [])
                self._answer(200, [entry for entry in _tree(at[1]) if entry["path"] in paths])
        else:
            self._answer(404, {"error": f"no POST {self.path}"})

    def do_GET(self) -> None:
        self._look(with_content=True)

    def do_HEAD(self) -> None:
        self._look(with_content=False)

    def _path(self) -> str:
        return unquote(self.path.partition("?")[0])

    def _look(self, with_content: bool) -> None:
        path = self._path()
        name = r"([^/]+/[^/]+)"
        if found := re.fullmatch(rf"/api/datasets/{name}(?:/revision/(.+))?", path):
            if at := self._open(found[1], found[2] or "main"):
                files = [{"rfilename": file} for file in at[1]]
                self._answer(200, {"id": found[1], "sha": at[0], "siblings": files})
        elif found := re.fullmatch(rf"/api/datasets/{name}/tree/([^/]+)(?:/(.+))?", path):
            if at := self._open(found[1], found[2]):
                recursive = "recursive=true" in self.path.lower()
                self._answer(200, _tree(at[1], found[3] or "", recursive=recursive))
        elif found := re.fullmatch(rf"/datasets/{name}/resolve/([^/]+)/(.+)", path):
            if at := self._open(found[1], found[2]):
                self._file(at, found[3], with_content)
        else:
            self._answer(404, {"error": f"no GET {self.path}"})

    def _file(self, at: tuple[str, Mapping[str, bytes]], name: str, with_content: bool) -> None:
        content = at[1].get(name)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        if with_content:
            self.hub.downloads.append(name)
        tag = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": at[0], "ETag": f'"{tag}"'}
        self._send(200, content if with_content else b"", headers, len(content))

    def _open(self, name: str, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """Return the SHA and files of a data set that the caller may read, or answer why not."""
        permitted = self.headers.get("Authorization") == "Bearer good"
        if name not in self.hub.commits or (name in self.hub.private and not permitted):
            self._refuse(401, "RepoNotFound")
        elif name in self.hub.gated and not permitted:
            self._refuse(403, "GatedRepo")
        elif (found := self.hub.find(name, revision)) is None:
            self._refuse(404, "RevisionNotFound")
        else:
            return found
        return None

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "refused"}', {"X-Error-Code": code})

    def _answer(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Log no requests."""


def _tree(
    files: Mapping[str, bytes], below: str = "", *, recursive: bool = True
) -> list[dict[str, Any]]:
    """Return the entries of a folder as the API lists them."""
    folder = f"{below}/" if below else ""
    entries: dict[str, dict[str, Any]] = {}
    for name, content in files.items():
        if not name.startswith(folder):
            continue
        parts = name.removeprefix(folder).split("/")
        for depth in range(1, len(parts)):
            path = folder + "/".join(parts[:depth])
            if depth == 1 or recursive:
                entries[path] = {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
        if len(parts) == 1 or recursive:
            oid = hashlib.sha1(content).hexdigest()
            entries[name] = {"type": "file", "path": name, "size": len(content), "oid": oid}
    return list(entries.values())
