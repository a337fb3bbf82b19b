"""Run a training on a file system of a few KiB, which is then enlarged."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from forking import PATIENCE, forked, redirect

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000  # of unshare(2)


def can_mount() -> bool:
    """Return whether a process may have its own mounts."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if not shutil.which("unshare"):
        return False
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def train_twice(command: Sequence[str], disk: Path, size: int, result: Path) -> str:
    """Run a command on a full disk, and again with free space; return the output of both.

    It includes the exit codes, and the files between the two runs, as `code N` and `left NAMES`.
    """
    log = result.parent / "small-disk.txt"
    process = forked(_train_twice, list(command), disk, size, result, log)
    process.start()
    process.join(PATIENCE)
    return log.read_text()


def train_with_small_files(command: Sequence[str], limit: int, log: Path) -> str:
    """Run a command with a limit on the size of files; return the output as in `train_twice`."""
    process = forked(_train_with_small_files, list(command), limit, log)
    process.start()
    process.join(PATIENCE)
    return log.read_text()


def _train_with_small_files(command: list[str], limit: int, log: Path) -> None:
    redirect(log)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from mmmodal.cli.main import run

    print(f"code {run(command)}", flush=True)
    os._exit(0)


def _train_twice(command: list[str], disk: Path, size: int, result: Path, log: Path) -> None:
    redirect(log)
    _have_own_mounts()
    tmpfs = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*tmpfs, f"size={size}k", "tmpfs", disk], check=True)
    from mmmodal.cli.main import run

    print(f"code {run(command)}")
    print("left", sorted(path.name for path in disk.glob("out/run/checkpoints/*")))
    subprocess.run([*tmpfs, "remount,size=200m", disk], check=True)
    print(f"code {run(command)}", flush=True)
    shutil.copytree(disk / "out", result)
    os._exit(0)


def _have_own_mounts() -> None:
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | NEW_USER):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
