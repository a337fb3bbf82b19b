"""Check conversations against the chat template of a model: is everything in them learned?"""

from __future__ import annotations

from collections.abc import Iterator

from mmmodal.contracts.record import Record
from mmmodal.conversation.differences import row_differences
from mmmodal.errors import MMModalError, RecordError
from mmmodal.samples.preparer import Preparer

__all__ = ["TemplateCheck"]


class TemplateCheck:
    """Check records one after another; what is merely not learned is an error if `strict`."""

    def __init__(self, preparer: Preparer, *, strict: bool) -> None:
        self._renderer = preparer.renderer
        self._strict = strict
        self.affected = 0
        """The number of records of which something is not learned."""

        self.example = ""
        """The first such record, and what is not learned of it."""

    def problems(self, record: Record, where: str) -> Iterator[RecordError]:
        """Yield the errors of a record; count those that are not refused."""
        try:
            lost = list(row_differences(self._renderer, record.messages, len(record.media)))
        except MMModalError as error:
            yield RecordError(where, str(error))
            return
        self.affected += bool(lost)
        for reason in lost:
            self.example = self.example or f"{where}: {reason}"
            if self._strict:
                yield RecordError(where, reason)
