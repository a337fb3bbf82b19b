"""The store of answers: SQLite files that survive a kill, keyed by the digest of a request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal_datagen.contracts.outcomes import StopRun
from mmmodal_datagen.fingerprints import canonical, digest

__all__ = ["Answer", "Ask", "ReplayStore"]

TABLE = "CREATE TABLE IF NOT EXISTS calls (key TEXT PRIMARY KEY, request TEXT, answer TEXT)"
PATIENCE_S = 60.0
"""How long to wait for a file that another process has locked."""

Ask = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Answer:
    """An answer of a model, and its key in the store."""

    key: str
    values: dict[str, Any]
    replayed: bool


@dataclass
class _Pending:
    key: str
    request: str
    answer: str
    kept: asyncio.Future[str]


class ReplayStore:
    """The answers in a folder: each writer has a file, and all files are read.

    An object belongs to one event loop. Processes of one machine may share a writer's name.
    Machines that share a folder each need their own name, and `shared`, as SQLite's faster journal
    does not work on network file systems.
    """

    def __init__(self, folder: Path, *, writer: str = "calls", shared: bool = False) -> None:
        self.folder = folder
        self._path = folder / f"{writer}.sqlite"
        self._journal = "TRUNCATE" if shared else "WAL"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replay")
        self._asked: dict[str, asyncio.Future[Answer]] = {}
        self._pending: list[_Pending] = []
        self._flushing: asyncio.Task[None] | None = None
        self._files = {path: self._open(path) for path in self._paths()}

    async def answer(self, request: Mapping[str, Any], ask: Ask) -> Answer:
        """Return the kept answer to a request; without one, call `ask` and keep its answer.

        An answer is on disk before it is returned. An error of `ask` is not kept. Equal requests
        from several tasks lead to one call.
        """
        key = digest(request)
        if (found := self._find(key)) is not None:
            return Answer(key, found, replayed=True)
        if (running := self._asked.get(key)) is not None:
            with contextlib.suppress(Exception):
                first = await asyncio.shield(running)
                return Answer(key, first.values, replayed=True)
            return await self.answer(request, ask)
        self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._ask(key, request, ask)
        except Exception as error:
            self._asked[key].set_exception(error)
            self._asked[key].exception()  # there may be no other task that waits for it
            raise
        except BaseException:
            self._asked[key].cancel()
            raise
        else:
            self._asked[key].set_result(answer)
            return answer
        finally:
            del self._asked[key]

    def find(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the kept answer to a request, or None."""
        return self._find(digest(request))

    def keep(self, answers: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Keep the answers to requests, all or none: they are on disk when this returns."""
        rows = [(digest(asked), _text(asked), _text(answer)) for asked, answer in answers]
        self._write(rows)

    def close(self) -> None:
        """Close the files; nothing is pending once every `answer` has returned."""
        self._thread.shutdown()
        for file in self._files.values():
            file.close()

    async def _ask(self, key: str, request: Mapping[str, Any], ask: Ask) -> Answer:
        answer = _text(await ask())
        loop = asyncio.get_running_loop()
        pending = _Pending(key, _text(request), answer, loop.create_future())
        self._pending.append(pending)
        if self._flushing is None or self._flushing.done():
            self._flushing = loop.create_task(self._flush())
        return Answer(key, json.loads(await pending.kept), replayed=False)

    async def _flush(self) -> None:
        """Write all pending answers in one transaction, until none is pending."""
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            rows = [(item.key, item.request, item.answer) for item in batch]
            try:
                kept = await loop.run_in_executor(self._thread, self._write, rows)
            except Exception as error:
                for item in batch:
                    if not item.kept.done():  # its task may be cancelled
                        item.kept.set_exception(error)
                continue
            for item, answer in zip(batch, kept, strict=True):
                if not item.kept.done():
                    item.kept.set_result(answer)

    def _write(self, rows: list[tuple[str, str, str]]) -> list[str]:
        """Write keys, requests and answers, and return the kept answers, of whoever was first."""
        with self._refusals(self._path), contextlib.closing(self._connect(self._path)) as file:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?, ?)", rows)
            query = "SELECT answer FROM calls WHERE key = ?"
            kept = [str(file.execute(query, (key,)).fetchone()[0]) for key, _, _ in rows]
            file.execute("COMMIT")
            return kept

    def _find(self, key: str) -> dict[str, Any] | None:
        for path, file in self._files.items():
            with self._refusals(path):
                query = "SELECT answer FROM calls WHERE key = ?"
                if found := file.execute(query, (key,)).fetchone():
                    answer: dict[str, Any] = json.loads(found[0])
                    return answer
        return None

    def _paths(self) -> list[Path]:
        """Return the file of this writer, and the existing files of others."""
        with self._refusals(self._path):
            self.folder.mkdir(parents=True, exist_ok=True)
        others = sorted(path for path in self.folder.glob("*.sqlite") if path != self._path)
        return [self._path, *others]

    def _open(self, path: Path) -> sqlite3.Connection:
        with self._refusals(path):
            file = self._connect(path)
            file.execute(f"PRAGMA journal_mode = {self._journal}")
            file.execute(TABLE)
            return file

    def _connect(self, path: Path) -> sqlite3.Connection:
        # Without Python's own transactions, which begin late and take the lock in two steps.
        file = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        file.execute(
            "PRAGMA synchronous = NORMAL" if self._journal == "WAL" else "PRAGMA synchronous = FULL"
        )
        return file

    @contextlib.contextmanager
    def _refusals(self, path: Path) -> Iterator[None]:
        """Raise `StopRun` for any error of SQLite or the disk; it names the file."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            damaged = error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            what = "remove it; its calls will be made again" if damaged else "make room or wait"
            raise StopRun(f"{path}: answers cannot be kept ({error}); {what}") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StopRun(f"{self.folder}: answers cannot be kept ({reason})") from None


def _text(value: Mapping[str, Any]) -> str:
    return canonical(dict(value)).decode("utf-8")
