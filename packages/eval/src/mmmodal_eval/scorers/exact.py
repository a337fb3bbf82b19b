"""Exact match after normalisation."""

from __future__ import annotations

from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.normalisation import normalised

__all__ = ["Exact"]


class Exact(Scorer):
    """1 if the answer equals a reference after normalisation, else 0."""

    name = "exact"

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer."""
        read = normalised(answer, expected.language)
        right = any(read == normalised(each, expected.language) for each in expected.references)
        return Score((float(right), 1.0), read)
