"""The contract of those who are asked, and what is kept of their answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmmodal.authoring.parts import Config
from mmmodal.authoring.records import Record

__all__ = ["Answered", "Asked", "History", "Progress", "Reply", "Respondent"]

History = Literal["own", "gold"]
"""The answers that a later turn reads: the model's own, or those of the record."""

Progress = Callable[[int], Any]
"""A function that is called with the number of conversations finished since its last call."""


@dataclass(frozen=True)
class Asked:
    """One conversation as it is asked: up to its last turn that is scored."""

    record: Record
    root: Path
    """The folder of relative media paths."""

    choices: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The answers whose likelihood is wanted, by the number of the user's turn, from 0."""


class Reply(Config):
    """What came of one user turn."""

    text: str = ""
    is_whole: bool = True
    """Whether the answer ended by itself, rather than at its maximum length."""

    left_out: int = 0
    """The number of oldest turns that the prompt had no room for."""

    likelihoods: tuple[float, ...] = ()
    """The log-likelihood of each choice."""

    error: str = ""
    """Why there is no answer; empty if there is one."""

    is_lasting: bool = True
    """Whether the same question would come to the same again, so that the reply is kept."""


Answered = list[tuple[int, list[Reply]]]
"""The index of each conversation that was answered, and the replies to its user turns."""


class Respondent(ABC):
    """One model that answers conversations. Creating it loads nothing."""

    ranks_choices: ClassVar[bool]
    """Whether it gives the likelihood of choices."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return, as JSON, all that answers depend on besides what is asked; never a key."""

    @abstractmethod
    def answers(
        self, asked: Sequence[Asked], known: Collection[int], progress: Progress
    ) -> Iterator[Answered]:
        """Yield the answers to conversations, as they come.

        Args:
            asked: all conversations.
            known: the indices of those that are not asked, as their answers are known.
            progress: a function that is called after some were answered.

        Raises:
            MMModalError: no conversation can be answered; what was yielded stays.
        """
