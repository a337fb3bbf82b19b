"""Evaluation of MMModal's models: scorers, intervals, paired comparisons, exchanged media."""

from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.results import CaseResult, ControlResult, Figure, Gain, Results

__all__ = [
    "CaseResult",
    "ControlResult",
    "Expected",
    "Figure",
    "Gain",
    "Results",
    "Score",
    "Scorer",
]
