"""The sources of media: a file, here or fetched first, a member of a tar file, a data URI, bytes,
a cell of a table."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from mmmodal.errors import MediaError, MMModalError, RecordError
from mmmodal.media.data_uris import DATA, base64_of
from mmmodal.media.limits import Limits
from mmmodal.media.tars import SEPARATOR, MemberFile, MemberPlace, open_member, split_member
from mmmodal.utf8 import NotUtf8Error, decoded

__all__ = [
    "Address",
    "Cell",
    "InMemory",
    "Remote",
    "Source",
    "check_source",
    "find_source",
    "open_source",
]

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
WINDOWS = re.compile(r"\\|(?:^|/)[A-Za-z]:(?:/|$)")
WINDOWS_HINT = (
    r"no such file: it is a path of Windows; write / for \, or replace its beginning by --root-map "
    r"OLD=NEW (`root_maps` in a recipe), which also turns \ into /"
)
SNAPSHOT = re.compile(r"(.*/(?:datasets|models|spaces)--[^/]+)/snapshots/[^/]+(?:/|$)")
"""A folder of the Hub's cache, whose files are links into the folder `blobs` beside `snapshots`."""

WEB = ("https", "http")
LONGEST_PATH = 4096  # characters; no system opens longer ones, and resolving 1 MB takes minutes
LONGEST_LABEL = 200  # characters

# If a checked file was replaced, a FIFO must not block, and a link must not be followed.
OPEN_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    OPEN_FLAGS |= getattr(os, _flag, 0)


class Cell(Protocol):
    """The place of a medium's bytes in a data file."""

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            RecordError: the file cannot be read.
        """


class Remote(Protocol):
    """A file that is fetched when it is read."""

    def path(self) -> Path:
        """Return the local file, after fetching it if it is not here yet.

        Raises:
            RecordError: it cannot be fetched.
        """


@dataclass(frozen=True)
class InMemory:
    """Bytes of a data file that were read before."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data


@dataclass(frozen=True)
class Source:
    """The bytes of one medium, not read yet, and its label in errors."""

    origin: str
    path: Path | None = None
    """A resolved path; a symbolic link there is refused."""

    member: str | None = None
    """The name of the medium in the tar file at `path`."""

    place: MemberPlace | None = field(default=None, repr=False, compare=False)
    """Where it was found there, if that is known."""

    data: bytes | None = field(default=None, repr=False)
    cell: Cell | None = None
    """Where the bytes are in a data file, which are read when the source is opened."""

    remote: Remote | None = None
    """The file, instead of `path`, where it is fetched when the source is opened."""

    name: str = ""
    """The name of the file from which the bytes came, if it is known."""

    descriptor: int | None = field(default=None, repr=False, compare=False)
    """The file, while `held` keeps it open."""

    def __post_init__(self) -> None:
        given = (self.path, self.data, self.cell, self.remote)
        number = sum(each is not None for each in given)
        assert number == 1, "a source has one of path, data, cell and remote"

    def open(self, limits: Limits) -> BinaryIO:
        """Return an open file of the bytes; a file must be regular and within the limits."""
        file = self._open()
        try:
            self._check_size(file.seek(0, os.SEEK_END), limits)
        except MediaError:
            file.close()
            raise
        file.seek(0)
        return file

    @contextmanager
    def held(self, limits: Limits) -> Iterator[Source]:
        """Yield a source whose file is opened once, so that all readers read the same bytes.

        Raises:
            MediaError: the file cannot be opened, or is too large.
        """
        here = self._fetched()
        with here.open(limits) as file:
            if here.path is not None:
                yield replace(here, descriptor=_descriptor(file))
            elif self.cell is not None:
                yield replace(self, cell=InMemory(file.read()))
            else:
                yield self

    def read_bytes(self, limits: Limits) -> bytes:
        """Return all bytes."""
        with self.open(limits) as file, _system_errors(self.origin):
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            data = file.read(size + 1)  # memory for what is there, not for what may be
            if len(data) > size:  # the file has grown since it was opened
                data += file.read(max(limits.file_bytes, limits.inline_bytes) + 1 - len(data))
        self._check_size(len(data), limits)
        return data

    def read_text(self, limits: Limits) -> str:
        """Return all bytes as UTF-8 text, without a byte order mark."""
        try:
            return decoded(self.read_bytes(limits))
        except NotUtf8Error as error:
            reason = f"{error}; save it as UTF-8"
            raise MediaError("unreadable", self.origin, reason) from None

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes, in hexadecimal."""
        with self._open() as file, _system_errors(self.origin):
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _check_size(self, size: int, limits: Limits) -> None:
        name = "inline_bytes" if self.data is not None else "file_bytes"
        limit: int = getattr(limits, name)
        if size == 0:
            raise MediaError("empty", self.origin, "it holds no data (0 bytes); replace it")
        if size > limit:
            raise _too_large(self.origin, size, name, limit)

    def _fetched(self) -> Source:
        """Return the source with its file on this machine."""
        if self.remote is None:
            return self
        try:
            path = Path(os.path.realpath(self.remote.path()))
        except RecordError as error:
            raise MediaError("unreadable", self.origin, error.reason) from None
        return replace(self, path=path, remote=None)

    def _open(self) -> io.BufferedReader | io.BytesIO:
        if self.remote is not None:
            return self._fetched()._open()
        if self.cell is not None:
            return io.BytesIO(self._cell_bytes(self.cell))
        if self.path is None:
            return io.BytesIO(self.data or b"")
        if self.member is None:
            return self._open_file()
        file = self._open_file()
        try:
            return open_member(file, self.member, self.origin, self.place)
        except MediaError:
            file.close()
            raise

    def _cell_bytes(self, cell: Cell) -> bytes:
        """Return the bytes of a cell; an error of its file names the place of the medium."""
        try:
            return cell.read()
        except RecordError as error:
            raise MediaError("unreadable", self.origin, error.reason) from None

    def _open_file(self) -> io.BufferedReader:
        """Return the open file at `path`."""
        assert self.path is not None
        if self.descriptor is not None:
            file = os.fdopen(os.dup(self.descriptor), "rb")
            file.seek(0)
            return file
        with _system_errors(self.origin, self.path):
            # Opening a device can trigger it, so check the type first.
            _check_regular(os.stat(self.path), self.origin)
            file = os.fdopen(os.open(self.path, OPEN_FLAGS), "rb")
        try:
            _check_regular(os.fstat(file.fileno()), self.origin)
        except MediaError:
            file.close()
            raise
        return file


Address = str | Path | bytes | Source
"""What names the bytes of a medium."""


def open_source(uri: Address, *, root: Path | None, limits: Limits) -> Source:
    """Return the medium of `uri` as `find_source` does, after opening it once to check it.

    Raises:
        MediaError: the file does not exist, is not regular, too large, or outside of `root`.
    """
    source = find_source(uri, root=root, limits=limits)
    source.open(limits).close()
    return source


def check_source(uri: Address, *, root: Path | None, limits: Limits) -> None:
    """Check a medium as `open_source` does; the cell of a table is not read for it, nor a file
    fetched.

    Raises:
        MediaError: the file does not exist, is not regular, too large, or outside of `root`.
    """
    source = find_source(uri, root=root, limits=limits)
    if source.cell is None and source.remote is None:
        source.open(limits).close()


def find_source(uri: Address, *, root: Path | None, limits: Limits) -> Source:
    """Return the medium of `uri`; a file is not opened and may not exist.

    `uri` is a path under `root`, a member of a tar file there (`a.tar::1.jpg`), a base64 data URI,
    the bytes themselves, or a source. Without a root any path is accepted, so pass None only for
    paths that the user of this machine typed.

    Raises:
        MediaError: a path is outside of `root`, or a data URI is damaged or too large.
    """
    if isinstance(uri, Source):
        return uri
    if isinstance(uri, bytes):
        return Source("bytes in memory", data=uri)
    path, member = str(uri), None
    if SEPARATOR in path:
        path, member = split_member(path)
    if isinstance(uri, str) and (scheme := SCHEME.match(path.lstrip())):
        if scheme[1].lower() == "data":
            return _inline(uri, limits)
        if scheme.string == path:  # a name may begin with a space
            return _fetched(uri, scheme[1].lower(), limits)
    return Source(_label(str(uri)), path=_resolve(path, root), member=member)


def _descriptor(file: BinaryIO) -> int:
    """Return the descriptor of an open file, or of the tar file that a member is in."""
    raw = getattr(file, "raw", None)
    return raw.descriptor() if isinstance(raw, MemberFile) else file.fileno()


def _fetched(uri: str, scheme: str, limits: Limits) -> Source:
    """Return the medium of a URL, which is downloaded where the user allows it.

    Raises:
        MediaError: it is not allowed, or cannot be fetched.
    """
    if limits.web and scheme in WEB:
        from mmmodal.media.web import fetch

        file = fetch(uri, limits.web, most=limits.file_bytes, origin=_label(uri))
        return Source(_label(uri), path=file)
    allow = ", or allow it by --limit web=true (`limits: {web: true}` in a recipe)"
    reason = (
        f"{scheme}: URLs are not downloaded; download the file and give its path"
        f"{allow if scheme in WEB else ''} (write ./name if this is a file name with a colon)"
    )
    raise MediaError("scheme", _label(uri), reason)


def _inline(uri: str, limits: Limits) -> Source:
    head = DATA.match(uri)
    origin = f"{_label(uri.partition(',')[0])},…"
    if head is None:
        raise MediaError("data-uri", origin, "write it as data:<type>;base64,<data>")
    try:
        text = base64_of(uri[head.end() :])
        size = len(text) * 3 // 4
        if size > limits.inline_bytes:
            raise _too_large(origin, size, "inline_bytes", limits.inline_bytes)
        padded = text + b"=" * (-len(text) % 4)
        return Source(origin, data=base64.b64decode(padded, validate=True))
    except MMModalError:
        raise
    except ValueError:
        raise MediaError("data-uri", origin, "its data is not valid base64; encode again") from None


def _resolve(text: str, root: Path | None) -> Path:
    origin = _label(text)
    if "\0" in text:
        raise MediaError("outside-root", origin, "no path can contain a NUL; correct the path")
    if not text or len(text) > LONGEST_PATH:
        reason = "the path is too long; correct it"
        raise MediaError("missing", origin, reason)
    try:
        if root is None:
            return Path(os.path.realpath(text))
        base = os.path.realpath(root)
        path = Path(os.path.realpath(os.path.join(base, text)))
    except (OSError, ValueError, RecursionError):  # e.g. lone surrogates; a long chain of links
        raise MediaError("missing", origin, "no such file; correct the path") from None
    if not path.is_relative_to(base) and not _is_linked_blob(path, base, text):
        reason = "it is outside of the media root; move the file under the root, or change the root"
        raise MediaError("outside-root", origin, reason)
    return path


def _is_linked_blob(path: Path, base: str, text: str) -> bool:
    """Return whether a path in a folder of the Hub's cache leads to a file of the same data set."""
    inside = os.path.normpath(os.path.join(base, text)).startswith(os.path.join(base, ""))
    snapshot = SNAPSHOT.match(base)
    return inside and snapshot is not None and path.parent == Path(snapshot[1]) / "blobs"


def _label(text: str) -> str:
    if len(text) > LONGEST_LABEL:
        text = f"{text[:100]}…{text[-60:]}"
    if text.isprintable():  # as nearly all are: looking at each character takes long
        return text or "(empty path)"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def _check_regular(status: os.stat_result, origin: str) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
    raise MediaError("not-a-file", origin, f"it is {kind}; name a regular file")


def _too_large(origin: str, size: int, name: str, limit: int) -> MediaError:
    reason = f"{size:,} bytes exceed the limit of {limit:,}; shrink it or raise `limits.{name}`"
    return MediaError("too-large", origin, reason)


@contextmanager
def _system_errors(origin: str, path: Path | None = None) -> Iterator[None]:
    try:
        yield
    except MMModalError:
        raise
    except (FileNotFoundError, NotADirectoryError, ValueError):
        reason = "no such file; check the name and the folder"
        if os.sep == "/" and path and WINDOWS.search(str(path)):
            reason = WINDOWS_HINT
        raise MediaError("missing", origin, reason) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            reason = "no such file: its symbolic links form a loop, or its name is too long"
            raise MediaError("missing", origin, f"{reason}; correct the path") from None
        word = errno.errorcode.get(error.errno or 0, type(error).__name__)
        reason = f"the system cannot read it ({word}); check its permissions and the disk"
        raise MediaError("unreadable", origin, reason) from None
