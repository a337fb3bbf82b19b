"""Components of an HTML report without external files: style, curves, counts, facts, figures."""

from mmmodal.reports import style
from mmmodal.reports.counts import bars, histogram
from mmmodal.reports.curves import figure_chart, loss_chart
from mmmodal.reports.pieces import card, duration, fact_rows, figure_list

__all__ = [
    "bars",
    "card",
    "duration",
    "fact_rows",
    "figure_chart",
    "figure_list",
    "histogram",
    "loss_chart",
    "style",
]
