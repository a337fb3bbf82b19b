"""What becomes of a row that a step cannot turn into others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmmodal.errors import MMModalError

if TYPE_CHECKING:
    from mmmodal_datagen.rows import Row

__all__ = ["BackendError", "Failed", "Rejected", "StopRun"]


class Rejected(MMModalError):
    """A row that a step refuses: it is kept with its reason, and not tried again."""

    def __init__(self, reason: str, detail: str = "", row: Row | None = None) -> None:
        self.reason = reason
        """A few words that many rows share: `too short`."""

        self.detail = detail
        """What was found in this row."""

        self.row = row
        """The row with what was measured of it; by default it is kept as it came."""
        super().__init__(f"{reason}: {detail}" if detail else reason)


class Failed(MMModalError):
    """A row that could not be worked on this time; the next run tries it again."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class BackendError(Failed):
    """A call to a model that did not come back with an answer, after all retries."""


class StopRun(MMModalError):
    """Something no other row will fare better with: a wrong key, a full disk."""
