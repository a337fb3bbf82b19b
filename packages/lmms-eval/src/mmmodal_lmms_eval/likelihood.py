"""The likelihood of given answers, as lmms-eval scores it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmmodal_lmms_eval.asking import Asker, Progress, Request
from mmmodal_lmms_eval.messages import question

__all__ = ["Continuation", "losses"]


@dataclass(frozen=True)
class Continuation:
    """A given answer to a question."""

    task: str
    split: str
    document: Any
    """The number of the document in the split."""

    context: str
    """The text of the question."""

    visuals: Callable[[], Sequence[Any] | None] = field(compare=False)
    """Returns the media in front of it."""

    text: str
    """The answer, with the space that lmms-eval puts in front of it."""

    @property
    def asked(self) -> tuple[Any, ...]:
        """What is the same for all answers to one question."""
        return self.task, self.split, self.document, self.context

    @property
    def answer(self) -> str:
        """The text without space around it, as an answer in a chat begins."""
        return self.text.strip()


def losses(
    asker: Asker, continuations: Sequence[Continuation], progress: Progress = lambda count: None
) -> list[tuple[float, bool]]:
    """Return the loss of each answer, and whether it is what the model would say.

    A loss is the negative log-likelihood, summed over the tokens of the answer: lmms-eval and its
    tasks choose the answer of the lowest value. All answers to a question are computed together.

    Raises:
        RecordError: a document cannot be asked, or an answer is empty.
    """
    questions: dict[tuple[Any, ...], list[Continuation]] = {}
    for each in continuations:
        questions.setdefault(each.asked, []).append(each)
    longest = max((len(asker.tokens(each.answer)) for each in continuations), default=0)
    requests = [_request(group, longest) for group in questions.values()]
    found = {}
    answers = asker.answers(requests, progress)
    for group, request, said in zip(questions.values(), requests, answers, strict=True):
        of_choices = dict(zip(request.choices, said.likelihoods, strict=True))
        begun = asker.tokens(said.text)
        for each in group:
            tokens = asker.tokens(each.answer)
            found[each] = -of_choices[each.answer], begun[: len(tokens)] == tokens
    return [found[each] for each in continuations]


def _request(group: Sequence[Continuation], max_new_tokens: int) -> Request:
    first = group[0]
    return Request(
        first.task,
        first.document,
        lambda: question(first.visuals() or (), first.context),
        {"max_new_tokens": max(max_new_tokens, 1)},
        tuple(dict.fromkeys(each.answer for each in group)),
    )
