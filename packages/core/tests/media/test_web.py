"""Media at URLs, from a local server: who is allowed, what is kept, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmmodal.errors import MediaError
from mmmodal.limits import read_limits
from mmmodal.media import Limits, web, web_addresses
from mmmodal.media.source import Source, find_source

CONTENT = b"\x89PNG and more" * 1000


@dataclass
class Server:
    """What the server answers, by path: a status, headers and a body; and what it was asked."""

    url: str = ""
    answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)

    def says(self, path: str, *answers: tuple[int, dict[str, str], bytes]) -> str:
        """Set the answers to a path, one after another, the last again and again; return its URL."""
        self.answers[path] = list(answers)
        return self.url + path

    @property
    def limits(self) -> Limits:
        """Limits that allow this server."""
        return Limits(web=(self.url,))


class _Handler(BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        self.state.asked.append(self.path)
        self.state.headers.append(self.headers)
        answers = self.state.answers.get(self.path) or [(404, {}, b"none")]
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Log no requests."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MMMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(web, "PAUSE", 0.001)
    state = Server()
    handler = type("Handler", (_Handler,), {"state": state})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{running.server_port}"
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    running.shutdown()
    running.server_close()


def fetched(url: str, limits: Limits) -> Source:
    """Return the source of a URL."""
    return find_source(url, root=Path("/nowhere"), limits=limits)


def refused(url: str, limits: Limits) -> str:
    """Return the reason why a URL is refused, whose error names it."""
    with pytest.raises(MediaError) as error:
        fetched(url, limits)
    assert error.value.origin == url
    assert "\n" not in str(error.value)
    return error.value.reason


def test_urls_are_not_downloaded_unless_it_is_allowed(server: Server) -> None:
    url = server.says("/a.png", (200, {}, CONTENT))
    for limits in (Limits(), Limits(web=False), Limits(web=())):
        reason = refused(url, limits)
        assert "URLs are not downloaded; download the file and give its path" in reason
        assert "allow it by --limit web=true (`limits: {web: true}` in a recipe)" in reason
    assert "web=true" not in refused("ftp://a.org/b", Limits(web=True))
    assert not server.asked


def test_a_medium_is_fetched_once_and_kept_by_content(server: Server, tmp_path: Path) -> None:
    url = server.says("/a.png", (200, {}, CONTENT), (200, {}, b"changed"))
    other = server.says("/b.png?size=2", (200, {}, CONTENT))
    first, second = fetched(url, server.limits), fetched(url, server.limits)
    assert first.read_bytes(Limits()) == second.read_bytes(Limits()) == CONTENT
    assert (first.origin, first.path) == (url, second.path)
    assert fetched(other, server.limits).path == first.path
    assert server.asked == ["/a.png", "/b.png?size=2"]
    assert server.headers[0]["Host"] == server.url.removeprefix("http://")
    assert server.headers[0]["Accept-Encoding"] == "identity"
    files = (tmp_path / "cache/media/content").iterdir()
    assert [path.name for path in files] == [first.sha256()]


def test_a_damaged_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    url = server.says("/a.png", (200, {}, CONTENT))
    path = fetched(url, server.limits).path
    assert path is not None
    (note,) = (tmp_path / "cache/media/urls").iterdir()
    for damage in (
        path.unlink,
        lambda: note.write_text("{"),
        lambda: note.write_text("[]"),
    ):
        damage()
        assert fetched(url, server.limits).read_bytes(Limits()) == CONTENT
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [
        ([(503, {}, b""), (200, {}, CONTENT)], 2),
        ([(429, {}, b""), (500, {}, b""), (200, {}, CONTENT)], 3),
        ([(200, {"Content-Length": str(len(CONTENT) + 1)}, CONTENT), (200, {}, CONTENT)], 2),
        ([(200, {"Content-Length": ""}, CONTENT)], 1),
        ([(302, {"Location": "/other.png"}, b"")], 1),
        ([(307, {"Location": "other.png"}, b"")], 1),
    ],
)
def test_what_fails_once_is_tried_again_and_redirects_are_followed(
    server: Server, answers: list[tuple[int, dict[str, str], bytes]], attempts: int
) -> None:
    server.says("/other.png", (200, {}, CONTENT))
    source = fetched(server.says("/a.png", *answers), server.limits)
    assert source.read_bytes(Limits()) == CONTENT
    assert server.asked.count("/a.png") == attempts


@pytest.mark.parametrize(
    ("answer", "reason", "attempts"),
    [
        ((404, {}, b""), "the host answered HTTP 404; correct the URL, or give a file", 1),
        ((403, {}, b""), "the host answered HTTP 403", 1),
        ((204, {}, b""), "the host answered HTTP 204", 1),
        ((503, {}, b""), "it cannot be fetched (HTTP 503, 4 times); try again later", 4),
        ((200, {"Content-Length": "20000"}, b"x"), "it cannot be fetched (", 4),
        ((200, {}, b"x" * 10_001), "10,001 bytes or more exceed the limit of 10,000", 1),
        ((200, {"Content-Length": ""}, b"x" * 10_001), "exceed the limit of 10,000", 1),
        ((200, {"Content-Length": "99999999"}, b""), "99,999,999 bytes or more exceed the limit", 1),
        ((302, {"Location": "/a.png"}, b""), "it is redirected more than 5 times", 6),
        ((302, {"Location": "file:///etc/passwd"}, b""), "nothing is fetched from file://", 1),
        ((302, {"Location": "ftp://127.0.0.1/a"}, b""), "nothing is fetched from ftp://127.0.0.1", 1),
        ((302, {"Location": "http://127.0.0.1:1/a"}, b""), "nothing is fetched from http://127.0.0.1:1", 1),
        ((302, {"Location": "https://a.org/a"}, b""), "nothing is fetched from https://a.org", 1),
        ((302, {"Location": "http://u:p@127.0.0.1/a"}, b""), "a URL with a password is not fetched", 1),
        ((302, {"Location": "http://[/"}, b""), "nothing is fetched from http://", 1),
    ],
)  # fmt: skip
def test_a_medium_that_cannot_be_fetched_is_one_error(
    server: Server, tmp_path: Path, answer: tuple[int, dict[str, str], bytes], reason: str, attempts: int
) -> None:  # fmt: skip
    url = server.says("/a.png", answer)
    limits = server.limits.model_copy(update={"file_bytes": 10_000})
    if reason.startswith("it cannot be fetched (") and answer[0] == 200:
        limits = server.limits
    assert reason in refused(url, limits)
    assert len(server.asked) == attempts
    assert not list((tmp_path / "cache").rglob("*.png")) and not _files(tmp_path / "cache")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_host_that_does_not_answer_is_one_error(server: Server) -> None:
    limits = Limits(web=("http://127.0.0.1:9",))
    assert refused("http://127.0.0.1:9/a", limits) == (
        "it cannot be fetched (ConnectError, 4 times); try again later"
    )


@pytest.mark.parametrize(
    ("hosts", "url", "expected"),
    [
        (True, ("https", "a.org", None), True),
        (True, ("http", "a.org", None), False),
        (True, ("https", "a.org", 8443), False),
        (("a.org",), ("https", "a.org", None), True),
        (("a.org",), ("https", "b.a.org", None), False),
        (("a.org",), ("https", "ba.org", None), False),
        (("a.org",), ("http", "a.org", None), False),
        (("*.a.org",), ("https", "b.a.org", None), True),
        (("*.a.org",), ("https", "ba.org", None), False),
        (("*.a.org",), ("https", "a.org", None), False),
        (("http://a.org",), ("http", "a.org", None), True),
        (("http://a.org",), ("http", "a.org", 81), False),
        (("http://a.org:81",), ("http", "a.org", 81), True),
        (("https://a.org:444",), ("https", "a.org", 444), True),
        (("http://a.org",), ("https", "a.org", None), False),
        ((), ("https", "a.org", None), False),
    ],
)
def test_hosts_are_allowed_by_name(
    hosts: web_addresses.Hosts, url: tuple[str, str, int | None], expected: bool
) -> None:
    assert web_addresses.allows(hosts, *url) == expected


PRIVATE = (
    "127.0.0.1", "127.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "2130706433", "0x7f.1", "localhost",
)  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_however_they_are_written(server: Server, host: str) -> None:
    assert "has a private address" in refused(f"https://{host}/a.png", Limits(web=True))


@pytest.mark.parametrize(
    "address",
    [
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "::ffff:127.0.0.1",
        "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_addresses_within_others_are_private(address: str) -> None:
    assert not web_addresses._is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_public(address: str) -> None:
    assert web_addresses._is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///a",
        "https://[/a",
        "https://a b/c",
        "https://u:p@a.org/b",
        "https:a.org",
    ],
)
def test_a_url_that_is_none_is_one_error(server: Server, url: str) -> None:
    assert refused(url, Limits(web=True))


def test_an_unknown_host_is_one_error(server: Server) -> None:
    reason = refused("https://no-such-host.invalid/a.png", Limits(web=True))
    assert reason == "the host 'no-such-host.invalid' is not known; check the URL and the network"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("true", True),
        ("false", False),
        ("a.org", ("a.org",)),
        ("a.org, *.b.org", ("a.org", "*.b.org")),
        ("http://127.0.0.1:80/", ("http://127.0.0.1:80",)),
    ],
)
def test_the_command_line_allows_hosts(given: str, expected: Any) -> None:
    assert read_limits({"web": given}).web == expected
    assert read_limits({"image.web": given}).image.web == expected  # type: ignore[attr-defined]
