"""The hooks of evaluation. Each returns classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmmodal.authoring.plugins import hookspec

if TYPE_CHECKING:
    from mmmodal_eval.contracts import Scorer

__all__ = ["mmmodal_scorers"]


@hookspec
def mmmodal_scorers() -> Iterable[type[Scorer]]:  # type: ignore[empty-body]
    """Return the scorers that this plugin provides."""
