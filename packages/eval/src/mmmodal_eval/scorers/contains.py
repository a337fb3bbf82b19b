"""Whether the answer contains a reference."""

from __future__ import annotations

from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.normalisation import NormalisationOptions, normalised

__all__ = ["Contains", "ContainsOptions"]


class ContainsOptions(NormalisationOptions):
    """What must be in an answer."""

    words: bool = True
    """Whether a reference must be whole words of the answer; false for languages without spaces."""

    every: bool = False
    """Whether all references must be in the answer; otherwise any of them will do."""


class Contains(Scorer):
    """1 if the answer contains a reference after normalisation, else 0."""

    name = "contains"
    Options = ContainsOptions
    options: ContainsOptions

    def check(self, expected: Expected) -> None:
        """Refuse an empty reference, which every answer contains."""
        if not all(reference.strip() for reference in expected.references):
            raise ValueError("a reference is empty, and every answer contains it; fill it")

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer; `read` are the references that it contains."""
        said = self._edged(normalised(answer, expected.language, self.options))
        found = [
            reference
            for reference in expected.references
            if self._edged(normalised(reference, expected.language, self.options)) in said
        ]
        right = len(found) == len(expected.references) if self.options.every else bool(found)
        return Score((float(right), 1.0), ", ".join(found) or None)

    def signature(self) -> str:
        """Return what counts when texts are compared."""
        chosen = self.options
        how = f"words: {chosen.words}, every: {chosen.every}".lower()
        return f"contains, {how.replace('true', 'yes').replace('false', 'no')}, {chosen.signature}"

    def _edged(self, text: str) -> str:
        return f" {text} " if self.options.words else text
