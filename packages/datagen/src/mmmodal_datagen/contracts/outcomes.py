"""The errors of a step: about one row, about one call, or about the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmmodal.authoring.parts import MMModalError

if TYPE_CHECKING:
    from mmmodal_datagen.rows import Row

__all__ = ["BackendError", "Failed", "Rejected", "StopRun"]


class Rejected(MMModalError):
    """A row that a step refuses: it is kept with the reason, and not tried again."""

    def __init__(self, reason: str, detail: str = "", row: Row | None = None) -> None:
        self.reason = reason
        """A short phrase that many rows share: `too short`."""

        self.detail = detail
        """The finding in this row."""

        self.row = row
        """The row with its measurements; by default the unchanged row is kept."""
        super().__init__(f"{reason}: {detail}" if detail else reason)


class Failed(MMModalError):
    """A row that could not be processed now; the next run tries it again."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class BackendError(Failed):
    """A call to a model that brought no answer, after all retries."""


class StopRun(MMModalError):
    """A problem that every other row would have too: a wrong key, a full disk."""
