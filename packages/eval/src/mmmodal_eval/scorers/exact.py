"""Exact match after normalisation."""

from __future__ import annotations

from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.normalisation import NormalisationOptions, normalised

__all__ = ["Exact"]


class Exact(Scorer):
    """1 if the answer equals a reference after normalisation, else 0."""

    name = "exact"
    Options = NormalisationOptions
    options: NormalisationOptions

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer."""
        read, *right = (
            normalised(text, expected.language, self.options)
            for text in (answer, *expected.references)
        )
        return Score((float(read in right), 1.0), read)

    def signature(self) -> str:
        """Return what counts when texts are compared."""
        return f"exact, {self.options.signature}"
