"""The scorers of this package; an entry point names this module, as for any plugin."""

from __future__ import annotations

from mmmodal.authoring.plugins import Family, hookimpl
from mmmodal_eval.contracts import Scorer

__all__ = ["mmmodal_families", "mmmodal_scorers"]


@hookimpl
def mmmodal_families() -> list[Family]:
    """Return the scorers, whose hook this package defines."""
    from mmmodal_eval.parts import FAMILY

    return [FAMILY]


@hookimpl
def mmmodal_scorers() -> list[type[Scorer]]:
    """Return the scorers of texts, choices and numbers, and the judge."""
    from mmmodal_eval.scorers.choice import Choice, ChoiceLikelihood
    from mmmodal_eval.scorers.consensus import Consensus
    from mmmodal_eval.scorers.contains import Contains
    from mmmodal_eval.scorers.error_rates import CER, WER
    from mmmodal_eval.scorers.exact import Exact
    from mmmodal_eval.scorers.n_grams import BLEU, ChrF
    from mmmodal_eval.scorers.number import Number
    from mmmodal_eval.scorers.rouge import RougeL

    texts = [Exact, Contains, Consensus, WER, CER, BLEU, ChrF, RougeL]
    return [*texts, Choice, ChoiceLikelihood, Number]
