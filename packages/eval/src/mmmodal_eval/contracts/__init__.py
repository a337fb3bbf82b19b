"""What authors of scorers implement."""

from mmmodal_eval.contracts.scorer import Expected, Score, Scorer

__all__ = ["Expected", "Score", "Scorer"]
