"""A local server of OpenAI's protocol that can be set to fail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Reply", "Server", "serving"]


@dataclass(frozen=True)
class Reply:
    """The server's response to a request."""

    text: str = ""
    status: int = 200
    finish_reason: str = "stop"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """A body that is sent instead of a response that follows the protocol."""

    wait_s: float = 0.0
    disconnect: bool = False


def by_digest(request: dict[str, Any], number: int) -> Reply:
    """Return the same text for equal requests, independent of earlier ones."""
    prompt = json.dumps(request.get("messages") or request.get("prompt"), ensure_ascii=False)
    return Reply(text=f" answer {hashlib.sha256(prompt.encode()).hexdigest()[:12]}")


@dataclass
class Server:
    """The requests that the server received, and its function for responses."""

    url: str = ""
    reply: Callable[[dict[str, Any], int], Reply] = by_digest
    """A function of a request, and of its number (from 0) among those with the same body."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """The API keys of requests."""

    seen: Counter[str] = field(default_factory=Counter)
    open: int = 0
    highest: int = 0
    """The maximum number of open requests."""

    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def serving(reply: Callable[[dict[str, Any], int], Reply] = by_digest) -> Iterator[Server]:
    """Serve `/v1/completions` and `/v1/chat/completions` on a free port of this machine."""
    state = Server(reply=reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            _answer(self, state)

        def log_message(self, *args: Any) -> None:
            pass

    class Threads(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Threads(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    # It ends as soon as it is told to; by default that takes half a second.
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, state: Server) -> None:
    text = handler.rfile.read(int(handler.headers["content-length"]))
    request = json.loads(text)
    with state.lock:
        number = state.seen[text.decode()]
        state.seen[text.decode()] += 1
        state.requests.append(request | {"path": handler.path})
        state.keys.add(handler.headers.get("authorization", ""))
        state.open += 1
        state.highest = max(state.highest, state.open)
    try:
        reply = state.reply(request, number)
        time.sleep(reply.wait_s)
        if reply.disconnect:
            handler.close_connection = True
            handler.connection.close()
            return
        body = _body(reply, request, handler.path) if reply.body is None else reply.body
    finally:
        with state.lock:
            state.open -= 1
    handler.send_response(reply.status)
    for name, value in {"content-type": "application/json", **reply.headers}.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _body(reply: Reply, request: dict[str, Any], path: str) -> bytes:
    if reply.status != 200:
        return json.dumps({"error": {"message": f"status {reply.status}"}}).encode()
    said = {"message": {"role": "assistant", "content": reply.text}}
    choice = said if path.endswith("/chat/completions") else {"text": reply.text}
    answer = {
        "id": "x",
        "object": "completion",
        "model": f"{request['model']}-served",
        "choices": [{"index": 0, "finish_reason": reply.finish_reason, **choice}],
        "usage": {"prompt_tokens": 7, "completion_tokens": len(reply.text.split())},
    }
    return json.dumps(answer).encode()
