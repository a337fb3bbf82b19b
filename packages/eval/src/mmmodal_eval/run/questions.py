"""The questions of a data set, checked before any of them is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mmmodal_eval.answers.asking import asked_of
from mmmodal_eval.answers.respondent import Asked
from mmmodal_eval.cases import Case, Conversation, cases_of
from mmmodal_eval.contracts import Scorer
from mmmodal_eval.controls.control import Control
from mmmodal_eval.controls.exchange import controls_of
from mmmodal_eval.run.reading import checked_scorers
from mmmodal_eval.run.settings import EvaluationSettings

__all__ = ["Pass", "Questions"]


@dataclass(frozen=True)
class Pass:
    """The questions asked once: as they are, or under a control."""

    asked: list[Asked]
    cases: list[Sequence[Case]]
    """The scored turns of each conversation."""


@dataclass(frozen=True)
class Questions:
    """The questions of a data set, all of which can be scored."""

    label: str
    """The data set as the user named it."""

    conversations: Sequence[Conversation]
    cases: Sequence[Case]
    companions: Sequence[Case]
    """The same questions, where another scorer scores them too if the model ranks choices."""

    scorers: Mapping[str, Scorer]
    """The scorers of all cases, by `Case.scored_by`."""

    controls: Mapping[str, Control]
    skipped: int = 0
    """The number of bad rows that were left out."""

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
        beside = [each for case in cases for each in _beside(case, scorers[case.scored_by])]
        scorers |= checked_scorers((), beside)
        controls = controls_of(conversations) if settings.controls else {}
        return cls(label, conversations, cases, beside, scorers, controls, skipped)

    def passes(self, *, ranks_choices: bool) -> dict[str | None, Pass]:
        """Return what is asked: first the questions as they are, then those of each control.

        Args:
            ranks_choices: whether the model that is asked gives the likelihood of choices.
        """
        cases = [*self.cases, *(self.companions if ranks_choices else ())]
        grouped = self._by_conversation(cases)
        found: dict[str | None, Pass] = {None: self._pass(enumerate(self.conversations), grouped)}
        for name, control in self.controls.items():
            some = {
                place: [case for case in grouped[place] if case.turn in change.turns]
                for place, change in control.changed.items()
            }
            changed = ((place, each.conversation) for place, each in control.changed.items())
            found[name] = self._pass(changed, some)
        return found

    def _pass(
        self,
        conversations: Iterable[tuple[int, Conversation]],
        cases: Mapping[int, Sequence[Case]],
    ) -> Pass:
        some = [(each, cases[place]) for place, each in conversations if cases[place]]
        asked = [asked_of(each, scored, self.scorers) for each, scored in some]
        return Pass(asked, [scored for _, scored in some])

    def _by_conversation(self, cases: Iterable[Case]) -> dict[int, list[Case]]:
        """Return the cases of each conversation, by its place, in the order of turns."""
        places = {id(each): place for place, each in enumerate(self.conversations)}
        found: dict[int, list[Case]] = {place: [] for place in places.values()}
        for case in cases:
            found[places[id(case.conversation)]].append(case)
        return {place: sorted(some, key=lambda case: case.turn) for place, some in found.items()}


def _beside(case: Case, scorer: Scorer) -> list[Case]:
    return [replace(case, scorer=name, options={}) for name in scorer.companions]
