"""Write files and folders whole or not at all, and copy YAML files for users to edit."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mmmodal.errors import CheckpointError, ConfigError

__all__ = [
    "SUFFIXES",
    "UNFINISHED",
    "about",
    "cache_folder",
    "check_new",
    "copy_to_own",
    "files_of",
    "new_folder",
    "remove_unfinished",
    "replacing",
    "sync",
    "write_whole",
]

SUFFIXES = (".yaml", ".yml")
"""The suffixes of YAML files."""

UNFINISHED = ".*.writing-*"
"""The names of temporary files and folders, as a pattern."""


def cache_folder() -> Path:
    """Return the folder for what can be made or fetched again: `MMMODAL_CACHE`, if it is set."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.path.realpath(os.environ.get("MMMODAL_CACHE") or os.path.join(home, "mmmodal")))


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    """Return a temporary name that no other process of any machine uses."""
    return path.with_name(f".{path.name}.writing-{platform.node()}-{os.getpid()}")


def remove_unfinished(folder: Path, *, unchanged_s: float = 0) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Args:
        folder: a folder in which no other process writes, or
        unchanged_s: the seconds since the last change of a file after which no process writes it.
    """
    for path in folder.glob(UNFINISHED):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it
            if not unchanged_s or time.time() - path.stat().st_mtime > unchanged_s:
                path.unlink()


def files_of(path: Path) -> list[Path]:
    """Return a file, or all files in a folder, in order."""
    return sorted(path.rglob("*")) if path.is_dir() else [path.resolve()]


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path; its file is renamed to `path` after the block, or removed on error.

    Args:
        path: the file, which is written whole or stays unchanged.
        durable: flush the file and its name to the disk, so that this holds after a power cut too.
    """
    working = _beside(path)
    try:
        yield working
        if durable:
            sync(working)
        working.replace(path)
        if durable:
            sync(path.parent)
    finally:
        working.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, durable: bool = False, errors: str = "strict") -> None:
    """Write a text file in UTF-8 whole or leave it unchanged; see `replacing`.

    `errors` selects the treatment of half a surrogate pair, as for `open`.
    """
    with replacing(path, durable=durable) as working:
        working.write_text(text, encoding="utf-8", errors=errors)


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `path` after the block, or removed on error.

    Raises:
        CheckpointError: `path` exists already, or cannot be created.
    """
    target = check_new(path)
    working = _beside(target)
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            working.mkdir()
        except OSError as error:
            raise CheckpointError(f"{target} cannot be created ({error.strerror})") from None
        yield working
        if target.exists():
            target.rmdir()
        working.rename(target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def check_new(path: str | Path) -> Path:
    """Return the path if it does not exist or is an empty folder.

    Raises:
        CheckpointError: it exists; nothing is ever overwritten.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists already; choose another folder or remove it")
    return target


def about(path: Path) -> str:
    """Return the comment at the beginning of a file, on one line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def copy_to_own(source: Path, target: Path, kind: str) -> None:
    """Copy a file to a new one.

    Args:
        source: the file to copy.
        target: the new file.
        kind: the kind of file, for errors: `recipe`.

    Raises:
        ConfigError: the file exists or cannot be written, or its name is not that of a YAML file.
    """
    text = source.read_text(encoding="utf-8")
    if target.suffix not in SUFFIXES:
        raise ConfigError(str(target), [f"a {kind}'s file ends in .yaml"])
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(str(target), ["it exists already; choose another name"]) from None
    except OSError as error:
        raise ConfigError(str(target), [f"it cannot be written ({error.strerror})"]) from None
