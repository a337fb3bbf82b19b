"""Agreement with several people's answers, as the accuracy of VQA."""

from __future__ import annotations

from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.normalisation import NormalisationOptions, normalised

__all__ = ["Consensus"]

ENOUGH = 3
"""The number of people with the same answer that makes it wholly right."""


class Consensus(Scorer):
    """min(1, people with that answer / 3), averaged over leaving each person out.

    The references are all people's answers, equal ones too. It is the accuracy of VQA
    (1505.00468), after this package's normalisation. With fewer than four references, one person's
    answer is enough.
    """

    name = "consensus"
    Options = NormalisationOptions
    options: NormalisationOptions

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer."""
        read, *given = (
            normalised(text, expected.language, self.options)
            for text in (answer, *expected.references)
        )
        alike, others = given.count(read), len(given) - given.count(read)
        if len(given) <= ENOUGH:
            return Score((float(alike > 0), 1.0), read)
        kept, left = min(1.0, alike / ENOUGH), min(1.0, (alike - 1) / ENOUGH)
        value = (others * kept + alike * max(left, 0.0)) / len(given)
        return Score((value, 1.0), read)

    def signature(self) -> str:
        """Return what counts when texts are compared."""
        return f"consensus of {ENOUGH}, {self.options.signature}"
