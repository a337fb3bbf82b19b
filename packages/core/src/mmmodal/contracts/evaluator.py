"""The contract of evaluators, which ask a model while it trains, and count how well it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmmodal.config import Config
from mmmodal.contracts.record import Record

__all__ = ["Better", "Evaluator", "HeldOut"]

Better = Literal["higher", "lower"]
"""Which of two figures is the better one."""


@dataclass(frozen=True)
class HeldOut:
    """A record that is not trained on."""

    record: Record
    root: Path
    """The folder of relative media paths."""

    where: str
    """The file and row, for errors."""


class Evaluator(ABC):
    """One way to evaluate the answers of a model while it trains.

    A figure is a function of counts that core adds up over the ranks. The model is in evaluation
    mode; core restores its state and all random numbers afterwards.
    """

    name: ClassVar[str]
    """The name for `evaluators` in recipes: `answers`."""

    Options: ClassVar[type[Config]] = Config
    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def begin(self, held_out: Sequence[HeldOut]) -> Mapping[str, Better]:
        """Take the records to evaluate, once and before training.

        Return the names of their figures, and which figure is the better one.

        Raises:
            MMModalError: a record cannot be evaluated.
        """

    @abstractmethod
    def tally(
        self, model: Any, *, max_new_tokens: int, progress: Callable[[int], Any]
    ) -> Mapping[str, Sequence[float]]:
        """Ask a model, and return what core adds up: the counts of each figure.

        Every rank calls this function, and returns the counts of its share of the records: that of
        `answer_dialogues`. A figure of which nothing was counted may be missing; further ones, such
        as the number of answers that failed, are logged.

        Args:
            model: the composed model, with its processor.
            max_new_tokens: the maximum length of an answer.
            progress: a function that is called with the number of records finished since its last
                call.
        """

    @abstractmethod
    def figure(self, metric: str, totals: Sequence[float]) -> float:
        """Return a figure from its counts over all records."""
