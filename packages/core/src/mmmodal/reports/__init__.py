"""Pieces of HTML reports, which load nothing."""

from mmmodal.reports.pieces import style

__all__ = ["style"]
