"""A server of OpenAI's protocol on this machine: completions, chat and the list of models."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mmmodal.authoring.parts import MMModalError
from mmmodal_playground.serving.writer import Said, Turn, Writer, read_raw

__all__ = ["MODEL", "serving"]

MODEL = "playground-llama"
LARGEST = 1024 * 1024  # bytes of a request
CHAT, RAW, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[str]:
    """Serve on a port of this machine, by default a free one; yield the URL.

    Raises:
        MMModalError: the port is in use.
    """
    writer, one_at_a_time = Writer(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
            _send(self, *((200, found) if self.path == MODELS else _refusal(404, "no such path")))

        def do_POST(self) -> None:
            data = self.rfile.read(min(LARGEST, int(self.headers.get("content-length", 0))))
            with one_at_a_time:
                _send(self, *_answer(writer, self.path, data))

        def log_message(self, *args: Any) -> None:
            """Log no requests."""

    class Threads(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512  # a pipeline opens all its connections at once

    try:
        server = Threads(("127.0.0.1", port), Handler)
    except OSError as error:
        reason = error.strerror or error
        raise MMModalError(f"port {port} cannot be used ({reason}); choose another") from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _answer(writer: Writer, path: str, data: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the response to a request."""
    if path not in (CHAT, RAW):
        return _refusal(404, f"there are {CHAT} and {RAW}")
    try:
        request = json.loads(data)
        if path == RAW:
            turns = read_raw(str(request["prompt"]))
        else:
            turns = [Turn(each["role"], str(each["content"])) for each in request["messages"]]
        as_json = bool(request.get("response_format"))
        said = writer.write(turns, as_json=as_json)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return _refusal(400, "the request does not follow the protocol")
    return 200, _body(said, path)


def _body(said: Said, path: str) -> dict[str, Any]:
    message = {"message": {"role": "assistant", "content": said.text}}
    choice: Mapping[str, Any] = message if path == CHAT else {"text": said.text}
    usage = {"prompt_tokens": said.read, "completion_tokens": said.written}
    return {
        "object": "chat.completion" if path == CHAT else "text_completion",
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": said.finish_reason, **choice}],
        "usage": usage | {"total_tokens": said.read + said.written},
    }


def _refusal(status: int, reason: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": reason}}


def _send(handler: BaseHTTPRequestHandler, status: int, body: Mapping[str, Any]) -> None:
    data = json.dumps(body, ensure_ascii=False).encode("utf-8")
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
