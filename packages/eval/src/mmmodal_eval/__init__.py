"""Evaluation of MMModal's models: scorers, intervals, paired comparisons, exchanged media.

Public names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmmodal_eval.contracts import Expected as Expected
    from mmmodal_eval.contracts import Score as Score
    from mmmodal_eval.contracts import Scorer as Scorer
    from mmmodal_eval.results import CaseResult as CaseResult
    from mmmodal_eval.results import ControlResult as ControlResult
    from mmmodal_eval.results import Figure as Figure
    from mmmodal_eval.results import Gain as Gain
    from mmmodal_eval.results import Results as Results
    from mmmodal_eval.run.evaluation import Evaluated as Evaluated
    from mmmodal_eval.run.session import evaluate as evaluate
    from mmmodal_eval.scorers.normalisation import normalised as normalised
    from mmmodal_eval.statistics.figures import figures as figures

_PUBLIC = {
    "CaseResult": "mmmodal_eval.results",
    "ControlResult": "mmmodal_eval.results",
    "Evaluated": "mmmodal_eval.run.evaluation",
    "Expected": "mmmodal_eval.contracts",
    "Figure": "mmmodal_eval.results",
    "Gain": "mmmodal_eval.results",
    "Results": "mmmodal_eval.results",
    "Score": "mmmodal_eval.contracts",
    "Scorer": "mmmodal_eval.contracts",
    "evaluate": "mmmodal_eval.run.session",
    "figures": "mmmodal_eval.statistics.figures",
    "normalised": "mmmodal_eval.scorers.normalisation",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mmmodal_eval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
