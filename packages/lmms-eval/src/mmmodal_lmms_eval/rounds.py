"""Tasks that ask in several rounds, each of which depends on the answers before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import RecordError
from mmmodal_lmms_eval.asking import Asker, Request

if TYPE_CHECKING:
    from mmmodal.authoring.training import Answer

__all__ = ["Rounds", "ask_in_rounds"]


class Rounds:
    """The rounds of one document."""

    def __init__(self, first: Request, messages_of: Callable[..., Any]) -> None:
        """Begin before the first round.

        Args:
            first: the request of the first round.
            messages_of: the task's `doc_to_messages` for the document; it takes the keywords of
                the further rounds.
        """
        self._first, self._messages_of = first, messages_of
        self._told: Any = None
        self.answers: list[Answer] = []
        """The answers of all rounds so far."""

    @property
    def texts(self) -> list[str]:
        """The texts of the answers."""
        return [answer.text for answer in self.answers]

    def next_request(self) -> Request | None:
        """Return the request of the next round; None after the last one.

        A round has the messages that the task returns for it, and no others: what the model shall
        know of earlier rounds is among them.

        Raises:
            RecordError: the task returns something else than lmms-eval's protocol says.
        """
        if not self.answers:
            return self._first
        number = len(self.answers)
        found = self._messages_of(
            round_idx=number, previous_output=self.texts, previous_round_info=self._told
        )
        if not isinstance(found, tuple):
            return None  # the task knows a single round
        if len(found) != 4:
            raise RecordError(
                self._first.where,
                f"doc_to_messages returns {len(found)} values for round {number}; return messages, "
                "whether the rounds are over, the answers, and what the next round is told",
            )
        messages, is_over, _, self._told = found
        return None if is_over else replace(self._first, messages=lambda: messages)


def ask_in_rounds(asker: Asker, documents: Sequence[Rounds]) -> None:
    """Ask all rounds of documents, each round of all of them together.

    Raises:
        RecordError: a document cannot be asked, or its task breaks the protocol.
    """
    going = list(documents)
    while asked := [(each, request) for each in going if (request := each.next_request())]:
        answers = asker.answers([request for _, request in asked])
        for (each, _), answer in zip(asked, answers, strict=True):
            each.answers.append(answer)
        going = [each for each, _ in asked]
