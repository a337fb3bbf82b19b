"""Find all errors of a data file: in rows, ids, modalities and media."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmmodal.contracts import Modality
from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import MMModalError, RecordError
from mmmodal.limits import LimitSettings
from mmmodal.media.reading import read_media
from mmmodal.media.source import Source
from mmmodal.parts import find
from mmmodal.records.dataset import Scanned

__all__ = ["Checker"]


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
        self._known: dict[tuple[Path, str, str, str | None], str] = {}
        self._modalities: dict[str, Modality | str] = {}

    def problems(self, item: Scanned) -> Iterator[RecordError]:
        """Yield the errors of one record of a file."""
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
        for index, ref in enumerate(item.record.media):
            if reason := self._medium_problem(ref, self._root or item.folder):
                yield RecordError(item.row.where, f"medium {index}: {reason}")

    def _id_problems(self, record: Record, item: Scanned) -> Iterator[RecordError]:
        first = self._ids.setdefault(record.id, item.row.where)
        if first != item.row.where:
            file, _, number = first.rpartition(":")
            other = number if item.row.where.rpartition(":")[0] == file else first
            reason = f"the id {record.id!r} is also that of row {other}; make it unique"
            yield RecordError(item.row.where, reason)

    def _medium_problem(self, ref: MediaRef, root: Path) -> str:
        key = (root, ref.kind, ref.uri, ref.sha256)
        if key in self._known:
            return self._known[key]
        reason = self._read(ref, root)
        if len(ref.uri) < 1000:  # data URIs are long, and rarely repeated
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

        limits = self._limits.of(modality)
        try:
            read_media(modality, ref.uri, root=root, limits=limits, known=compare)
        except MMModalError as error:
            return str(error)
        return changed

    def _modality(self, kind: str) -> Modality | str:
        """Return a modality, or the reason why it is not available."""
        if kind not in self._modalities:
            try:
                self._modalities[kind] = find("modalities", kind).part()
            except MMModalError as error:
                self._modalities[kind] = str(error)
        return self._modalities[kind]
