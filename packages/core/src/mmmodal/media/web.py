"""Media at URLs: fetched only from hosts that the user allows, and kept in a cache by content."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MediaError
from mmmodal.files import cache_folder, write_whole
from mmmodal.media.web_addresses import Hosts, address_of, allows

if TYPE_CHECKING:
    import httpx2

__all__ = ["fetch"]

REDIRECTS = 5
ATTEMPTS = 4
PAUSE = 0.5  # seconds before the second attempt; each further pause is twice as long
WAIT = 30.0  # seconds for a connection or the next bytes
WHOLE = 600.0  # seconds for one medium
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The statuses of answers after which another attempt may succeed."""

CHUNK = 1 << 20


class _Transient(Exception):
    """A failure after which another attempt may succeed."""


def fetch(url: str, hosts: Hosts, *, most: int, origin: str) -> Path:
    """Return the file of the medium at a URL, which is downloaded once.

    Later calls, also of other processes, return the same content, whatever the host holds by then;
    remove the folder `media` of `cache_folder()` to fetch again.

    Args:
        url: the URL.
        hosts: the hosts that the user allows.
        most: the maximum number of bytes.
        origin: the name of the medium in errors.

    Raises:
        MediaError: the URL is not allowed, or cannot be fetched.
    """
    _check_allowed(url, hosts, origin)
    folder = cache_folder() / "media"
    note = folder / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
    if (known := _known(note, folder)) is not None:
        return known
    path = _download(url, hosts, most, origin, folder)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps({"url": url, "sha256": path.name}) + "\n")
    return path


def _known(note: Path, folder: Path) -> Path | None:
    """Return the file that a note of an earlier download names, if both are whole."""
    try:
        digest = json.loads(note.read_text(encoding="utf-8"))["sha256"]
        path = folder / "content" / str(digest)
        return path if path.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _download(url: str, hosts: Hosts, most: int, origin: str, folder: Path) -> Path:
    until = time.monotonic() + WHOLE
    for attempt in range(ATTEMPTS):
        try:
            return _attempt(url, hosts, most, origin, folder, until)
        except _Transient as failure:
            if attempt == ATTEMPTS - 1 or time.monotonic() > until:
                reason = f"it cannot be fetched ({failure}, {attempt + 1} times); try again later"
                raise MediaError("unreadable", origin, reason) from None
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _attempt(url: str, hosts: Hosts, most: int, origin: str, folder: Path, until: float) -> Path:
    """Return the file of the medium after following redirects, each to an allowed host."""
    import httpx2

    # Proxies of the environment would look up addresses again.
    options: Any = {"timeout": WAIT, "follow_redirects": False, "trust_env": False}
    try:
        with httpx2.Client(**options) as client:
            for _ in range(REDIRECTS + 1):
                with client.stream(**_request(url, hosts, origin)) as answer:
                    if not answer.is_redirect:
                        return _keep(_body(answer, most, origin, until), folder)
                    url = str(httpx2.URL(url).join(answer.headers["location"]))
                    _check_allowed(url, hosts, origin)
    except httpx2.InvalidURL:
        raise MediaError("scheme", origin, "it is not a valid URL; correct it") from None
    except httpx2.HTTPError as error:
        raise _Transient(type(error).__name__) from None
    reason = f"it is redirected more than {REDIRECTS} times; give the URL of the file itself"
    raise MediaError("unreadable", origin, reason)


def _check_allowed(url: str, hosts: Hosts, origin: str) -> None:
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise MediaError("scheme", origin, "it is not a valid URL; correct it") from None
    if parsed.userinfo:
        raise MediaError("scheme", origin, "a URL with a password is not fetched; remove it")
    if not parsed.host or not allows(hosts, parsed.scheme, parsed.host, parsed.port):
        place = f"{parsed.scheme}://{parsed.host}{f':{parsed.port}' if parsed.port else ''}"
        reason = f"nothing is fetched from {place:.100}; allow it by `limits.web`, or give a file"
        raise MediaError("scheme", origin, reason)


def _request(url: str, hosts: Hosts, origin: str) -> dict[str, Any]:
    """Return a request that connects to the address of its host that was checked."""
    import httpx2

    parsed = httpx2.URL(url)
    address = address_of(hosts, parsed.scheme, parsed.host, parsed.port, origin)
    host = parsed.netloc.decode("ascii")
    return {
        "method": "GET",
        "url": parsed.copy_with(host=address),
        # Compressed answers could be larger than their length says.
        "headers": {"Host": host, "Accept-Encoding": "identity", "User-Agent": "mmmodal"},
        "extensions": {"sni_hostname": parsed.raw_host.decode("ascii")},
    }


def _body(answer: httpx2.Response, most: int, origin: str, until: float) -> Iterator[bytes]:
    """Yield the bytes of an answer within the limits.

    Raises:
        MediaError: the host refuses, or the medium is too large.
    """
    if answer.status_code in AGAIN:
        raise _Transient(f"HTTP {answer.status_code}")
    if answer.status_code != 200:
        missing = answer.status_code in (404, 410)
        reason = f"the host answered HTTP {answer.status_code}; correct the URL, or give a file"
        raise MediaError("missing" if missing else "unreadable", origin, reason)
    length = answer.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() else None
    size = 0
    if announced is not None and announced > most:
        raise _too_large(announced, most, origin)
    for chunk in answer.iter_raw(CHUNK):
        size += len(chunk)
        if size > most:
            raise _too_large(size, most, origin)
        if time.monotonic() > until:
            raise _Transient(f"more than {WHOLE:.0f} seconds")
        yield chunk
    if announced is not None and size < announced:
        raise _Transient("the answer broke off")


def _too_large(size: int, most: int, origin: str) -> MediaError:
    reason = (
        f"{size:,} bytes or more exceed the limit of {most:,}; shrink it or raise "
        "`limits.file_bytes`"
    )
    return MediaError("too-large", origin, reason)


def _keep(chunks: Iterator[bytes], folder: Path) -> Path:
    """Return the file of bytes, which is named by their SHA-256 and written whole."""
    content = folder / "content"
    content.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=content, prefix=".", delete=False) as file:
        try:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
            file.close()
            path = content / digest.hexdigest()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return path
