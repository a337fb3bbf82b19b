"""The part of the Hub's API that our downloads and uploads need, as a local HTTP server.

It stores repositories, large files by their SHA-256, and commits. The tokens are `good` (write
access to `lab`) and `reader` (no write access).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from huggingface_hub import constants

__all__ = ["LocalHub", "Repository", "instead_of_the_hub", "local_hub", "served"]


@dataclass
class Repository:
    """The content of one repository."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


@dataclass
class LocalHub:
    """The state of the server."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """Large files by SHA-256, also of commits that were not completed."""

    breaks_after: int | None = None
    """The number of uploads of large files after which further ones are refused."""


@contextlib.contextmanager
def local_hub() -> Iterator[LocalHub]:
    """Yield the state of a running server, which stays readable afterwards."""
    hub = LocalHub()
    with served(hub, _Handler):
        yield hub


class AtUrl(Protocol):
    """The state of a server, which says where that is."""

    url: str


@contextlib.contextmanager
def served(hub: AtUrl, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    """Run a server whose requests are handled by `handler`, with `hub` as its attribute."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def instead_of_the_hub(hub: AtUrl, cache: Path) -> Iterator[pytest.MonkeyPatch]:
    """Make huggingface_hub in this process use `hub`, and the folder `cache` for downloads."""
    with pytest.MonkeyPatch.context() as patch:
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield patch


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            if self._permitted(found[1]):
                self._preupload(json.loads(body))
        elif found := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", self.path):
            if self._permitted(found[1]):
                self._batch(json.loads(body))
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            if self._permitted(found[1]):
                self._commit(found[1], body)
        else:
            self._answer(404, {"error": f"no POST {self.path}"})

    def do_PUT(self) -> None:
        hub, name = self.hub, self.path.removeprefix("/large/")
        content = self._content()
        if hub.breaks_after is not None and len(hub.large) >= hub.breaks_after:
            self._answer(400, {"error": "the upload broke off"})
            return
        assert hashlib.sha256(content).hexdigest() == name
        hub.large[name] = content
        self._answer(200, {})

    def do_GET(self) -> None:
        self._look(with_content=True)

    def do_HEAD(self) -> None:
        self._look(with_content=False)

    def _look(self, with_content: bool) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/main)?", path):
            repository = self.hub.repositories.get(found[1])
            if repository is None:
                self._missing("RepoNotFound")
                return
            files = [
                {"rfilename": name, "size": len(content)}
                for name, content in repository.files.items()
            ]
            about = {"id": found[1], "private": repository.private, "siblings": files}
            self._answer(200, {**about, "sha": f"{repository.commits:040x}"})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", path):
            repository = self.hub.repositories.get(found[1])
            content = repository.files.get(found[2]) if repository else None
            if repository is None or content is None:
                self._missing("EntryNotFound")
                return
            commit = f"{repository.commits:040x}"
            tag = hashlib.sha256(content).hexdigest()
            self._send(
                200, content if with_content else b"", {"X-Repo-Commit": commit, "ETag": f'"{tag}"'},
                len(content),
            )  # fmt: skip
        else:
            self._answer(404, {"error": f"no GET {self.path}"})

    def _permitted(self, repo: str) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ("good", "reader"):
            self._answer(401, {"error": "Invalid username or password."})
        elif token == "reader" or not repo.startswith("lab/"):
            self._answer(403, {"error": "Forbidden: you do not have the right to write"})
        else:
            return True
        return False

    def _create(self, wanted: dict[str, Any]) -> None:
        repo = f"{wanted['organization']}/{wanted['name']}"
        if not self._permitted(repo):
            return
        if repo in self.hub.repositories:
            known = {"url": f"{self.hub.url}/{repo}", "id": repo}
            self._answer(409, {"error": "You already created this model repo", **known})
            return
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.hub.repositories[repo] = Repository(private)
        self._answer(200, {"url": f"{self.hub.url}/{repo}", "id": repo, "name": repo})

    def _preupload(self, wanted: dict[str, Any]) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in wanted["files"]
        ]
        self._answer(200, {"files": files})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = []
        for file in wanted["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/large/{file['oid']}"}}
            known = file["oid"] in self.hub.large
            objects.append({**file, **({} if known else {"actions": upload})})
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, repo: str, body: bytes) -> None:
        repository = self.hub.repositories[repo]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.large[value["oid"]]
        repository.commits += 1
        commit = f"{repository.commits:040x}"
        url = f"{self.hub.url}/{repo}/commit/{commit}"
        self._answer(200, {"commitUrl": url, "commitOid": commit, "hookOutput": ""})

    def _content(self) -> bytes:
        """Return a body of known length or in chunks."""
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _missing(self, code: str) -> None:
        self._send(404, b'{"error": "not found"}', {"X-Error-Code": code})

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
