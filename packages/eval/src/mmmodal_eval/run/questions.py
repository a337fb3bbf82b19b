"""The questions of a data set, checked before any of them is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmmodal_eval.answers.asking import asked_of
from mmmodal_eval.answers.respondent import Asked
from mmmodal_eval.cases import Case, Conversation, cases_of
from mmmodal_eval.contracts import Scorer
from mmmodal_eval.run.reading import checked_scorers
from mmmodal_eval.run.settings import EvaluationSettings

__all__ = ["Pass", "Questions"]


@dataclass(frozen=True)
class Pass:
    """The questions asked once: as they are, or under a control."""

    asked: list[Asked]
    cases: list[list[Case]]
    """The scored turns of each conversation."""


@dataclass(frozen=True)
class Questions:
    """The questions of a data set, all of which can be scored."""

    label: str
    """The data set as the user named it."""

    conversations: Sequence[Conversation]
    cases: Sequence[Case]
    scorers: Mapping[str, Scorer]
    """The scorers of the cases, by `scorer_key`."""

    skipped: int = 0
    """The number of bad rows that were left out."""

    controls: Mapping[str, Mapping[int, Conversation]] = field(default_factory=dict)
    """For each control, the changed conversations by the place of the original."""

    @classmethod
    def of(
        cls,
        label: str,
        conversations: Sequence[Conversation],
        settings: EvaluationSettings,
        *,
        skipped: int = 0,
    ) -> Questions:
        """Return the questions of conversations.

        Raises:
            ConfigError: some cannot be scored; it lists them.
        """
        cases = cases_of(conversations, settings.scorer, settings.options)
        scorers = checked_scorers(conversations, cases)
        return cls(label, conversations, cases, scorers, skipped)

    def passes(self) -> dict[str | None, Pass]:
        """Return what is asked: first the questions as they are, then those of each control."""
        found: dict[str | None, Pass] = {None: self._pass(dict(enumerate(self.conversations)))}
        return found | {name: self._pass(some) for name, some in self.controls.items()}

    def _pass(self, conversations: Mapping[int, Conversation]) -> Pass:
        ranked = frozenset(each.name for each in self.scorers.values() if each.ranks_choices)
        of_conversation = self._cases_by_conversation()
        some = [place for place in conversations if of_conversation[place]]
        asked = [
            asked_of(conversations[place], of_conversation[place], ranked=ranked) for place in some
        ]
        return Pass(asked, [of_conversation[place] for place in some])

    def _cases_by_conversation(self) -> list[list[Case]]:
        places = {id(each): place for place, each in enumerate(self.conversations)}
        found: list[list[Case]] = [[] for _ in self.conversations]
        for case in self.cases:
            found[places[id(case.conversation)]].append(case)
        return found
