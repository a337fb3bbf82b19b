"""Members of tar files, read where they lie: `shards/00001.tar::img/7.jpg`."""

from __future__ import annotations

import functools
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError

__all__ = [
    "SEPARATOR",
    "Member",
    "MemberFile",
    "MemberPlace",
    "members",
    "open_member",
    "split_member",
    "version_of",
]

SEPARATOR = ".tar::"
"""What stands before the name of a member."""

KEPT = 64
"""The number of tar files whose members a process remembers."""


CHUNK = 1024 * 1024
BUFFER = 64 * 1024


class Member(NamedTuple):
    """A regular file in a tar file."""

    name: str
    offset: int
    """The position of its first byte in the tar file."""

    size: int


Version = tuple[int, ...]
"""What identifies a tar file and its content: device, inode, size and time."""


class MemberPlace(NamedTuple):
    """A member that was found before, and in which version of its tar file."""

    member: Member
    version: Version


def version_of(file: BinaryIO) -> Version:
    """Return the version of an open tar file."""
    status = os.fstat(file.fileno())
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def split_member(uri: str) -> tuple[str, str | None]:
    """Return the path of a file, and the name of the member if `uri` is that of one."""
    path, separator, name = uri.partition(SEPARATOR)
    return (path + SEPARATOR.removesuffix("::"), name) if separator else (uri, None)


def open_member(
    file: BinaryIO, name: str, origin: str, place: MemberPlace | None = None
) -> io.BufferedReader:
    """Return a member of an open tar file as a file, which closes the tar file with it.

    Args:
        file: the tar file.
        name: the name of the member.
        origin: the name of the medium in errors.
        place: where it was found before, which is used if the tar file is the same.

    Raises:
        MediaError: there is no such member, or the tar file is damaged.
    """
    version = version_of(file)
    if place is not None and place.version == version:
        return _buffered(file, place.member)
    found = _index(_Opened(file, origin), version).get(name)
    if found is None:
        reason = f"the tar file has no member {name!r:.80}; correct the name"
        raise MediaError("missing", origin, reason)
    return _buffered(file, found)


def _buffered(file: BinaryIO, member: Member) -> io.BufferedReader:
    """Return a member as a file, of which a small one is read at once."""
    return io.BufferedReader(MemberFile(file, member), min(BUFFER, max(1, member.size)))


class _Opened(NamedTuple):
    """A tar file that is open; all are equal, so that only their identity is remembered."""

    file: BinaryIO
    origin: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Opened)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=KEPT)
def _index(opened: _Opened, version: Version) -> dict[str, Member]:
    return {member.name: member for member in members(opened.file, opened.origin)}


def members(file: BinaryIO, origin: str) -> Iterator[Member]:
    """Yield the regular files of an uncompressed tar file, in order.

    Raises:
        MediaError: it is damaged or cut off, or holds a link, a device, or a name outside of it.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                if info.isdir():
                    continue
                yield _checked(info, size, origin)
            # Without its end, a tar file may have lost members.
            if tar.offset + tarfile.BLOCKSIZE > size:
                raise _damaged(origin, "its end is missing")
            if not _is_blank(file, tar.offset):
                reason = "it has data after its end, as several tar files in one; separate them"
                raise MediaError("unreadable", origin, reason)
    except MediaError:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise _damaged(origin, type(error).__name__) from None


def _is_blank(file: BinaryIO, offset: int) -> bool:
    """Return whether a file has nothing but zeros from a position on."""
    file.seek(offset)
    while data := file.read(CHUNK):
        if data.strip(b"\0"):
            return False
    return True


def _checked(info: tarfile.TarInfo, size: int, origin: str) -> Member:
    if not info.isreg() or info.issparse():
        reason = f"{info.name!r:.80} is a link or no plain file; make the tar of regular files"
        raise MediaError("not-a-file", origin, reason)
    parts = PurePosixPath(info.name).parts
    if info.name.startswith("/") or ".." in parts:
        reason = f"the name {info.name!r:.80} leads out of it; make the tar with relative names"
        raise MediaError("outside-root", origin, reason)
    if info.offset_data + info.size > size:
        raise _damaged(origin, f"{info.name!r:.80} is cut off")
    return Member("/".join(parts), info.offset_data, info.size)


def _damaged(origin: str, what: str) -> MediaError:
    reason = f"the tar file is damaged, cut off or compressed ({what}); copy or make it again"
    return MediaError("unreadable", origin, reason)


class MemberFile(io.RawIOBase):
    """The bytes of a member as a file; it reads by position, so threads may share the tar file."""

    def __init__(self, file: BinaryIO, member: Member) -> None:
        self._file, self._member, self._position = file, member, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Raise an error, as a descriptor shows the whole tar file; see `descriptor`."""
        raise io.UnsupportedOperation("fileno")

    def descriptor(self) -> int:
        """Return the descriptor of the tar file."""
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position in the member."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._member.size}
        self._position = max(0, start[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the position in the member."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read bytes into a buffer, up to the end of the member."""
        wanted = min(len(buffer), max(0, self._member.size - self._position))
        data = os.pread(self._file.fileno(), wanted, self._member.offset + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the tar file."""
        if not self.closed:
            self._file.close()
        super().close()
