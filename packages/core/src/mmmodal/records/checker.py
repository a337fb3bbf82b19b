"""Find all errors of a data file: in rows, ids, modalities and media."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from mmmodal.contracts import Modality
from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import MediaError, MMModalError, RecordError
from mmmodal.limits import LimitSettings
from mmmodal.media.reading import read_media
from mmmodal.media.source import Source, find_source
from mmmodal.parts import find
from mmmodal.records.dataset import Scanned
from mmmodal.records.json_text import printable

__all__ = ["Checker"]

Answer = Callable[[], str]
"""A function that waits for a medium to be read, and returns what is wrong with it, or ""."""

Key = tuple[Path, str, str, str | None]
"""Root, kind, path and SHA-256 of a medium."""

QUEUED = 16
"""The number of records for each worker whose media wait to be read."""


class Checker:
    """Check records one after another; ids and files that were read are remembered.

    Relative media paths begin in `root`, by default in the folder of each record's file.
    """

    def __init__(
        self, root: Path | None = None, *, media: bool = True, limits: LimitSettings | None = None
    ) -> None:
        self._root = root
        self._media = media
        self._limits = limits or LimitSettings()
        self._ids: dict[str, str] = {}
        self._known: dict[Key, Answer | str] = {}
        self._modalities: dict[str, Modality | str] = {}

    def check(
        self, items: Iterable[Scanned], workers: int = 0
    ) -> Iterator[tuple[Scanned, list[RecordError]]]:
        """Yield each record of a file with its errors, in order.

        Args:
            items: the records.
            workers: the number of threads that read media; 0 for none besides this one.
        """
        waiting: deque[tuple[Scanned, list[RecordError], list[Answer]]] = deque()
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(workers)) if workers else None
            for item in items:
                refs = item.record.media if item.record else ()
                answers = [self._answer(ref, self._root or item.folder, pool) for ref in refs]
                waiting.append((item, [*self._row_problems(item)], answers))
                if len(waiting) > QUEUED * workers:
                    yield _checked(*waiting.popleft())
            while waiting:
                yield _checked(*waiting.popleft())

    def _row_problems(self, item: Scanned) -> Iterator[RecordError]:
        if item.error is not None:
            yield item.error
        if item.record is None:
            return
        if item.format == "native":
            # Other formats use one id for all questions on an image.
            yield from self._id_problems(item.record, item)
        if all(message.role != "assistant" for message in item.record.messages):
            reason = "no assistant turn: there is nothing to learn from it; add one"
            yield RecordError(item.row.where, reason)

    def _id_problems(self, record: Record, item: Scanned) -> Iterator[RecordError]:
        first = self._ids.setdefault(record.id, item.row.where)
        if first != item.row.where:
            file, _, number = first.rpartition(":")
            other = number if item.row.where.rpartition(":")[0] == file else first
            reason = f"the id {record.id!r} is also that of row {other}; make it unique"
            yield RecordError(item.row.where, reason)

    def _answer(self, ref: MediaRef, root: Path, pool: ThreadPoolExecutor | None) -> Answer:
        read = functools.partial(self._read, ref, root)
        # Data URIs are long, and rarely repeated; a medium in a row is that of no other row.
        if ref.held is not None or len(ref.uri) >= 1000:
            return pool.submit(read).result if pool else read
        key = (root, ref.kind, ref.uri, ref.sha256)
        if key not in self._known:
            self._known[key] = pool.submit(read).result if pool else read
        return functools.partial(self._finished, key)

    def _finished(self, key: Key) -> str:
        """Return what is wrong with a medium; only the text is kept from then on."""
        answer = self._known[key]
        reason = answer if isinstance(answer, str) else answer()
        self._known[key] = reason
        return reason

    def _read(self, ref: MediaRef, root: Path) -> str:
        modality = self._modality(ref.kind)
        if isinstance(modality, str) or not self._media:
            return modality if isinstance(modality, str) else ""
        changed = ""

        def compare(source: Source) -> None:
            nonlocal changed
            if ref.sha256 is not None and source.sha256() != ref.sha256.lower():
                reason = "its SHA-256 differs from the row's; restore the file, or correct the row"
                changed = f"{source.origin}: {reason}"
            changed = changed or self._other_file(source, root)

        limits = self._limits.of(modality)
        try:
            read_media(modality, ref.address, root=root, limits=limits, known=compare)
        except MediaError as error:
            begin = f"relative paths begin in {printable(root)}; --root names another folder"
            is_relative = error.code == "missing" and ref.held is None and ref.uri[:1] != "/"
            return f"{error} ({begin})" if is_relative else str(error)
        except MMModalError as error:
            return str(error)
        return changed

    def _other_file(self, source: Source, root: Path) -> str:
        """Return what is wrong with a medium in a row that also names a file with other bytes."""
        if source.cell is None or not source.name:
            return ""
        try:
            file = find_source(source.name, root=root, limits=self._limits)
            with file.held(self._limits) as opened:
                same = opened.sha256() == source.sha256()
        except MMModalError:
            return ""  # most names are those of files of another machine
        reason = "the file of this name has other bytes than the row; remove one of them"
        return "" if same else f"{source.origin}: {reason}"

    def _modality(self, kind: str) -> Modality | str:
        """Return a modality, or the reason why it is not available."""
        if kind not in self._modalities:
            try:
                self._modalities[kind] = find("modalities", kind).part()
            except MMModalError as error:
                self._modalities[kind] = str(error)
        return self._modalities[kind]


def _checked(
    item: Scanned, problems: list[RecordError], answers: list[Answer]
) -> tuple[Scanned, list[RecordError]]:
    """Return a record with its errors, after its media were read."""
    reasons = ((index, answer()) for index, answer in enumerate(answers))
    where = item.row.where
    wrong = [RecordError(where, f"medium {index}: {reason}") for index, reason in reasons if reason]
    return item, problems + wrong
