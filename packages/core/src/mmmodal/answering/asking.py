"""Ask the turns of many dialogues in batches; the processes of a launcher share the batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmmodal.answering.dialogues import Answer, Dialogue
from mmmodal.answering.generation import Generation
from mmmodal.answering.likelihood import likelihoods
from mmmodal.answering.media import BatchMedia, Content
from mmmodal.answering.turns import AskedDialogue, Turn
from mmmodal.contracts.record import MediaRef, Record
from mmmodal.errors import ConfigError, MediaError, MMModalError, PartError, RenderError
from mmmodal.model.settings import AnswerSettings, answer_settings
from mmmodal.ranks import rank, ranks

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["answer_dialogues", "answer_records", "plan_batches"]

Progress = Callable[[int], Any]
"""A function that is called with the number of conversations finished since its last call."""

OF_A_TURN = (MediaError, RenderError, PartError)
"""The errors of what is asked, rather than of the model or the machine."""


def answer_dialogues(
    model: MMModalForConditionalGeneration,
    dialogues: Sequence[Dialogue],
    *,
    batch_size: int = 100,
    batches: Sequence[Sequence[int]] | None = None,
    skip: Collection[int] = (),
    on_error: Literal["raise", "keep"] = "raise",
    progress: Progress = lambda finished: None,
    **generation: Any,
) -> Iterator[tuple[int, list[Answer]]]:
    """Yield the index of each dialogue and the answers to all of its user turns, batch by batch.

    A batch is asked turn by turn, and each different medium of it is encoded once. Under a launcher
    of several processes, each of them answers, and yields, every n-th batch.

    Args:
        model: with its processor, on the device that it runs on.
        dialogues: all of them; batches are planned over them all.
        batch_size: the number of dialogues, or of rows with choices, that are computed together.
        batches: the indices of dialogues that are answered together; by default those of
            `plan_batches`.
        skip: the indices of dialogues that are left out of their batches, as their answers are
            known. The batches stay the same.
        on_error: `keep`: a medium that cannot be read, or a prompt that cannot be rendered or is
            too long, is the error of the answers concerned; `raise`: it ends all.
        progress: a function called after each batch.
        generation: transformers' generation settings, as for `mmmodal.Chat`.

    Raises:
        ConfigError: a setting is unknown, cannot act here, or has an impossible value.
        MediaError: a medium cannot be read.
        RenderError: a turn cannot be rendered, or exceeds the model's context.
        PartError: a medium has a shape that a part cannot take, or a part broke its contract.
    """
    settings = answer_settings(generation, model)
    planned = plan_batches(dialogues, batch_size) if batches is None else batches
    left_out = frozenset(skip)
    dealt = [[i for i in batch if i not in left_out] for batch in planned[rank() :: ranks()]]
    asking = _Asking(model, settings, batch_size, keeps_errors=on_error == "keep")
    return _answered(asking, dialogues, dealt, progress)


def answer_records(
    model: MMModalForConditionalGeneration,
    records: Sequence[Record],
    root: Path,
    *,
    batch_size: int = 100,
    progress: Progress = lambda finished: None,
    **generation: Any,
) -> list[list[str]]:
    """Return the model's answers to the user turns of each record.

    The assistant messages of the records are ignored. If a conversation exceeds the model's
    context, its oldest turns are left out of the prompt, which is told in one warning. Each process
    of a launcher answers all records; `answer_dialogues` shares them.

    Args:
        model: with its processor.
        records: the conversations.
        root: the folder of relative media paths; a medium outside of it is refused.
        batch_size: the number of conversations answered together.
        progress: a function called after each batch.
        generation: transformers' generation settings, as for `mmmodal.Chat`.

    Raises:
        ConfigError: a setting is unknown, cannot act here, or has an impossible value.
        MediaError: a medium cannot be read.
        RenderError: a turn cannot be rendered, or exceeds the model's context.
        PartError: a medium has a shape that a part cannot take, or a part broke its contract.
    """
    dialogues = [Dialogue(record, root) for record in records]
    asking = _Asking(model, answer_settings(generation, model), batch_size)
    batches = plan_batches(dialogues, batch_size)
    found = dict(_answered(asking, dialogues, batches, progress))
    answers = [found[index] for index in range(len(dialogues))]
    _warn_of_shortened(answers, model.config.positions)
    return [[answer.text for answer in said] for said in answers]


def plan_batches(dialogues: Sequence[Dialogue], batch_size: int) -> list[list[int]]:
    """Return the indices of dialogues that are answered together, those with fewest media first.

    Raises:
        ConfigError: the size is not at least 1.
    """
    if batch_size < 1:
        raise ConfigError("batches", [f"the size must be at least 1, not {batch_size}"])
    order = sorted(range(len(dialogues)), key=lambda index: len(dialogues[index].record.media))
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


class _Asking:
    """How dialogues are asked."""

    def __init__(
        self,
        model: MMModalForConditionalGeneration,
        settings: AnswerSettings,
        batch_size: int,
        *,
        keeps_errors: bool = False,
    ) -> None:
        self._model, self._settings, self._batch_size = model, settings, batch_size
        self._generation, self._keeps_errors = Generation(model, settings), keeps_errors

    def answers(self, dialogues: Sequence[Dialogue]) -> list[list[Answer]]:
        """Return the answers to all turns of a batch."""
        preparer = self._model.processor.preparer
        media = BatchMedia(preparer)
        contents = [self._contents(each, media) for each in dialogues]
        asked = [
            AskedDialogue(dialogue, preparer, media, found)
            for dialogue, found in zip(dialogues, contents, strict=True)
        ]
        media.encode(self._model)
        while going := [each for each in asked if each.is_going]:
            self._ask([(each, turn) for each in going if (turn := self._next_turn(each))])
        return [each.answers for each in asked]

    def _ask(self, prompted: Sequence[tuple[AskedDialogue, Turn]]) -> None:
        """Generate the answers to one turn of each dialogue."""
        turns = [turn for _, turn in prompted]
        likely = likelihoods(self._model, turns, self._batch_size)
        said = self._generation.answers(turns)
        for (asked, _), (answer, past), each in zip(prompted, said, likely, strict=True):
            asked.answer(replace(answer, likelihoods=each), past)

    def _contents(self, dialogue: Dialogue, media: BatchMedia) -> list[Content | MMModalError]:
        return [self._content(ref, dialogue.root, media) for ref in dialogue.record.media]

    def _content(self, ref: MediaRef, root: Path, media: BatchMedia) -> Content | MMModalError:
        try:
            return media.read(ref, root)
        except OF_A_TURN as error:
            if not self._keeps_errors:
                raise
            return error

    def _next_turn(self, asked: AskedDialogue) -> Turn | None:
        """Return the prompt of the next turn; None if it has an error."""
        context, longest = self._model.config.positions, self._settings.max_new_tokens
        try:
            return asked.next_turn(context, longest)
        except OF_A_TURN as error:
            if not self._keeps_errors:
                raise
            asked.fail(error)
            return None


def _answered(
    asking: _Asking,
    dialogues: Sequence[Dialogue],
    batches: Sequence[Sequence[int]],
    progress: Progress,
) -> Iterator[tuple[int, list[Answer]]]:
    for batch in filter(None, batches):
        answers = asking.answers([dialogues[index] for index in batch])
        yield from zip(batch, answers, strict=True)
        progress(len(batch))


def _warn_of_shortened(answers: Sequence[Sequence[Answer]], context: int) -> None:
    shortened = [[answer.left_out for answer in said if answer.left_out] for said in answers]
    count, turns = sum(map(bool, shortened)), sum(map(len, shortened))
    if count:
        warning = (
            f"the oldest turns of {count} of {len(answers)} conversations were left out of "
            f"{turns} prompts to fit the model's context of {context}"
        )
        warnings.warn(warning, stacklevel=3)
