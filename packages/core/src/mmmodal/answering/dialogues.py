"""What is asked, and what came of each turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, MMModalError

__all__ = ["Answer", "Dialogue", "History"]

History = Literal["own", "gold"]
"""The answers that a later turn reads: the model's own, or those of the record."""


@dataclass(frozen=True)
class Dialogue:
    """A record whose user turns are asked.

    Raises:
        ConfigError: the history is unknown, or choices are given for a turn that is not there.
    """

    record: Record
    root: Path
    """The folder of relative media paths; a medium outside of it is refused."""

    history: History = "own"
    choices: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The answers whose likelihood is wanted, by the number of the user's turn, from 0."""

    def __post_init__(self) -> None:
        problems = []
        if self.history not in get_args(History):
            known = ", ".join(get_args(History))
            problems.append(f"the history {self.history!r} is unknown (known: {known})")
        if beyond := sorted(set(self.choices) - set(range(self.turns))):
            problems.append(
                f"choices are given for user turn {beyond[0]}, but there are {self.turns} of them, "
                "counted from 0"
            )
        if problems:
            raise ConfigError(f"dialogue {self.record.id}", problems)

    @property
    def turns(self) -> int:
        """The number of the user's turns."""
        return sum(message.role == "user" for message in self.record.messages)


@dataclass(frozen=True)
class Answer:
    """What a model said to one turn."""

    text: str
    is_whole: bool
    """Whether it has an end, rather than reached `max_new_tokens`, `max_time` or the context."""

    tokens: int
    """The number of generated tokens, without the one that ends the turn."""

    left_out: int = 0
    """The number of oldest turns that were left out of the prompt to fit the model's context."""

    likelihoods: tuple[float, ...] = ()
    """The natural logarithm of the probability of each choice: the sum over the tokens that are
    learned of it as an answer to this prompt, without the token that ends the turn."""

    error: MMModalError | None = None
    """Why there is no answer: a medium or the prompt of this turn, or of one that it follows."""
