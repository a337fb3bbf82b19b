"""Components of HTML reports, which load no other files."""

from mmmodal.reports.pieces import style

__all__ = ["style"]
