"""Ask a model what tasks of lmms-eval want to know, in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.authoring.parts import ConfigError, RecordError
from mmmodal_lmms_eval.arguments import ModelArguments
from mmmodal_lmms_eval.generation import generation_settings
from mmmodal_lmms_eval.messages import record_of

if TYPE_CHECKING:
    from mmmodal.authoring.training import Answer, Dialogue

__all__ = ["Asker", "Progress", "Request", "remarks"]

Progress = Callable[[int], Any]
"""A function that is called with the number of requests answered since its last call."""


@dataclass(frozen=True)
class Request:
    """One question of a task."""

    task: str
    document: Any
    """The number of the document in the task's data."""

    messages: Callable[[], Any]
    """Returns the messages; it is called when they are asked, so that few media are in memory."""

    generation: Mapping[str, Any]
    """The task's `generation_kwargs`."""

    choices: tuple[str, ...] = ()
    """The answers whose likelihood is wanted."""

    @property
    def where(self) -> str:
        """Its name in errors."""
        return f"task {self.task}, document {self.document}"


class Asker:
    """Asks one model."""

    def __init__(self, model: Any, arguments: ModelArguments) -> None:
        self._model, self._arguments = model, arguments

    def answers(
        self, requests: Sequence[Request], progress: Progress = lambda count: None
    ) -> list[Answer]:
        """Return the answers to the last messages of requests, in their order.

        Raises:
            ConfigError: a generation setting of a task cannot act.
            RecordError: a document cannot be asked; an error never becomes an answer.
        """
        found: dict[int, Answer] = {}
        for indices in _alike(requests):
            settings = self._settings(requests[indices[0]])
            for at in range(0, len(indices), self._arguments.batch_size):
                some = indices[at : at + self._arguments.batch_size]
                found |= zip(some, self._batch([requests[i] for i in some], settings), strict=True)
                progress(len(some))
        return [found[index] for index in range(len(requests))]

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        tokens: list[str] = self._model.processor.tokenizer.tokenize(text)
        return tokens

    def _settings(self, request: Request) -> dict[str, Any]:
        left_out = self._arguments.leave_out
        return generation_settings(request.generation, f"task {request.task}", left_out)

    def _batch(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Answer]:
        from mmmodal.authoring.ranks import rank, ranks
        from mmmodal.authoring.training import answer_dialogues

        dialogues = [self._dialogue(request) for request in requests]
        # lmms-eval has dealt the documents to the processes of a launcher already.
        everyones = [range(len(dialogues)) if each == rank() else () for each in range(ranks())]
        try:
            answers = dict(
                answer_dialogues(
                    self._model, dialogues, batches=everyones, on_error="keep", **settings
                )
            )
        except ConfigError as error:
            raise _with_way_out(error, requests[0].task) from None
        return [_last(answers[place], each) for place, each in enumerate(requests)]

    def _dialogue(self, request: Request) -> Dialogue:
        from mmmodal.authoring.training import Dialogue

        known = self._model.config.modality_names
        record = record_of(request.messages(), request.where, known)
        last = sum(message.role == "user" for message in record.messages) - 1
        # Answers among the messages are examples, or those of earlier rounds.
        return Dialogue(record, Path.cwd(), "gold", {last: request.choices})


def remarks(answers: Sequence[Answer]) -> list[str]:
    """Return what a user should know of answers besides their texts."""
    count = len(answers)
    empty = sum(not answer.text for answer in answers)
    shortened = sum(answer.left_out > 0 for answer in answers)
    told = {
        f"{empty} of {count} answers are empty: the model ended its turn at once": empty,
        f"the oldest turns were left out of {shortened} of {count} prompts, to fit the context of "
        "the model": shortened,
    }
    return [text for text, number in told.items() if number]


def _alike(requests: Sequence[Request]) -> list[list[int]]:
    """Return the indices of requests in groups of the same settings."""
    groups: dict[str, list[int]] = {}
    for index, request in enumerate(requests):
        settings = json.dumps([request.task, request.generation], sort_keys=True, default=repr)
        groups.setdefault(settings, []).append(index)
    return list(groups.values())


def _last(answers: Sequence[Answer], request: Request) -> Answer:
    if (error := answers[-1].error) is not None:
        raise RecordError(request.where, str(error)) from error
    return answers[-1]


def _with_way_out(error: ConfigError, task: str) -> ConfigError:
    *others, last = error.problems
    hint = "or ignore it by the model argument leave_out=NAME (several: NAME+NAME)"
    return ConfigError(f"generation_kwargs of task {task}", [*others, f"{last}; {hint}"])
