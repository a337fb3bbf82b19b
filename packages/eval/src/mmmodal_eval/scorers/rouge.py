"""ROUGE-L, by rouge-score."""

from __future__ import annotations

import functools
import re
from typing import Any

from mmmodal_eval.contracts import Expected, Score, Scorer

__all__ = ["RougeL"]

WORD = re.compile(r"[^\W_]+")


class _Words:
    """Words of letters and digits in lower case; of ASCII those of rouge-score, of others too."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(text.lower())


class RougeL(Scorer):
    """F-measure of the longest common subsequence of words; of several references the best."""

    name = "rouge-l"

    @functools.cached_property
    def _rouge(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer(["rougeL"], tokenizer=_Words())

    def check(self, expected: Expected) -> None:
        """Refuse references without a word."""
        if not all(WORD.search(reference) for reference in expected.references):
            raise ValueError("a reference holds no word; fill it, or set `expect.scored` to false")

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer."""
        found = self._rouge.score_multi(list(expected.references), answer)["rougeL"]
        return Score((float(found.fmeasure), 1.0))

    def signature(self) -> str:
        """Return the measure, and the version of rouge-score."""
        from importlib.metadata import version

        return f"rouge-l, F-measure, without stemmer, rouge-score {version('rouge-score')}"
