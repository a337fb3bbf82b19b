"""Files and folders that appear whole or not at all, and YAML files that users copy to own."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmmodal.errors import CheckpointError, ConfigError

__all__ = [
    "SUFFIXES",
    "about",
    "check_new",
    "copy_to_own",
    "new_folder",
    "replacing",
    "sync",
    "write_whole",
]

SUFFIXES = (".yaml", ".yml")
"""How the names of YAML files end."""


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    """Return a name for what is being written, which no process of any machine has besides."""
    return path.with_name(f".{path.name}.writing-{platform.node()}-{os.getpid()}")


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` whose file takes its name when the block ends well, else vanishes.

    Args:
        path: the file that appears whole or stays as it was.
        durable: force the file and its name onto the disk, so that a power cut leaves either.
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
    """Write a text file in UTF-8 that appears whole, or stays as it was; see `replacing`.

    `errors` is what becomes of half a surrogate pair, as for `open`.
    """
    with replacing(path, durable=durable) as working:
        working.write_text(text, encoding="utf-8", errors=errors)


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that takes its name when the block ends well, else vanishes.

    Raises:
        CheckpointError: something stands there, or it cannot be made.
    """
    target = check_new(path)
    working = _beside(target)
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            working.mkdir()
        except OSError as error:
            raise CheckpointError(f"{target} cannot be made ({error.strerror})") from None
        yield working
        if target.exists():
            target.rmdir()
        working.rename(target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def check_new(path: str | Path) -> Path:
    """Return the path if nothing stands there, or an empty folder.

    Raises:
        CheckpointError: something does; nothing is ever overwritten.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists already; choose another folder or remove it")
    return target


def about(path: Path) -> str:
    """Return what a file says of itself: the comment at its beginning, on one line."""
    told = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        told.append(line.lstrip("# "))
    return " ".join(told)


def copy_to_own(source: Path, target: Path, kind: str) -> None:
    """Copy a file to one that does not exist yet.

    Args:
        source: what is copied.
        target: the new file.
        kind: what it is, for errors: `recipe`.

    Raises:
        ConfigError: the file cannot be made, or is no YAML file.
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
