"""BLEU and chrF, by sacrebleu."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_eval.contracts import Expected, Score, Scorer

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

__all__ = ["BLEU", "BLEUOptions", "ChrF", "ChrFOptions"]

VARIABLE = -1
"""What sacrebleu calls numbers of references that differ."""


class NGrams(Scorer):
    """A metric of sacrebleu: counts are the statistics that it adds up over a corpus.

    So the figure of all answers is that of sacrebleu over them, and the signature is its own.
    """

    unit = "points"
    is_mean = False

    def __init__(self, options: Config | None = None) -> None:
        super().__init__(options)
        self._references: set[int] = set()
        """The numbers of references so far, which the signature tells."""

    @abstractmethod
    def made(self) -> Metric:
        """Return the metric of the options."""

    @functools.cached_property
    def metric(self) -> Any:
        """The metric of the options."""
        return self.made()

    def check(self, expected: Expected) -> None:
        """Refuse empty references."""
        self._references.add(len(expected.references))
        if not all(reference.strip() for reference in expected.references):
            raise ValueError("a reference is empty; fill it, or set `expect.scored` to false")

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the statistics of one answer."""
        self._references.add(len(expected.references))
        streams = [[reference] for reference in expected.references]
        (counts,) = self.metric._extract_corpus_statistics([answer], streams)
        return Score(tuple(map(float, counts)))

    def figure(self, totals: Sequence[float]) -> float:
        """Return the figure of added statistics."""
        return float(self.metric._compute_score_from_stats([*map(int, totals)]).score)

    def signature(self) -> str:
        """Return the name, and sacrebleu's signature."""
        numbers = self._references
        self.metric.num_refs = next(iter(numbers)) if len(numbers) == 1 else VARIABLE
        return f"{self.name}|{self.metric.get_signature()}"


class BLEUOptions(Config):
    """The settings of BLEU, with sacrebleu's names and defaults."""

    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    lowercase: bool = False
    smooth_method: Literal["exp", "floor", "add-k", "none"] = "exp"
    smooth_value: float | None = Field(None, ge=0)
    max_ngram_order: int = Field(4, ge=1)


class BLEU(NGrams):
    """BLEU of all answers, up to 100; n-grams of several references all count."""

    name = "bleu"
    Options = BLEUOptions
    options: BLEUOptions

    def made(self) -> Metric:
        """Return sacrebleu's BLEU."""
        from sacrebleu.metrics.bleu import BLEU as Found

        return Found(force=True, **self.options.model_dump())


class ChrFOptions(Config):
    """The settings of chrF, with sacrebleu's names and defaults; `word_order: 2` is chrF++."""

    char_order: int = Field(6, ge=1)
    word_order: int = Field(0, ge=0)
    beta: int = Field(2, ge=1)
    lowercase: bool = False
    whitespace: bool = False


class ChrF(NGrams):
    """chrF of all answers, up to 100; of several references the closest one counts."""

    name = "chrf"
    Options = ChrFOptions
    options: ChrFOptions

    def made(self) -> Metric:
        """Return sacrebleu's chrF."""
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(**self.options.model_dump())
