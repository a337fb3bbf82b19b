"""Components of an HTML report without external files: curves, counts, scales, media, facts."""

from mmmodal.reports.counts import bars, histogram
from mmmodal.reports.curves import figure_chart, loss_chart
from mmmodal.reports.media import Embedding
from mmmodal.reports.pieces import brand, card, duration, fact_rows, figure_list, page
from mmmodal.reports.scales import Scale
from mmmodal.reports.turns import medium_names, paragraph, turn_contents

__all__ = [
    "Embedding",
    "Scale",
    "bars",
    "brand",
    "card",
    "duration",
    "fact_rows",
    "figure_chart",
    "figure_list",
    "histogram",
    "loss_chart",
    "medium_names",
    "page",
    "paragraph",
    "turn_contents",
]
