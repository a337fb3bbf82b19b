"""Components of an HTML report without external files: style, curves, facts and figures."""

from mmmodal.reports import style
from mmmodal.reports.curves import figure_chart, loss_chart
from mmmodal.reports.pieces import duration, fact_rows, figure_list

__all__ = ["duration", "fact_rows", "figure_chart", "figure_list", "loss_chart", "style"]
