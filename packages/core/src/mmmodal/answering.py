"""Answer many conversations at once, turn by turn, each with its own history.

The history of a turn holds the model's own answers to the turns before. A medium is read and
encoded once, however many turns follow it. D: width of the language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mmmodal.contracts.record import Message, Record
from mmmodal.model.endings import Endings
from mmmodal.model.perception import MediaFeatures
from mmmodal.model.settings import AnswerSettings, answer_settings
from mmmodal.samples.collation import Sample
from mmmodal.samples.preparer import PreparedMedium
from mmmodal.samples.transcript import Transcript

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["answer_records"]

Progress = Callable[[int], Any]
"""A function that is called with the number of conversations finished since its last call."""


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

    The assistant messages of the records are ignored.

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
    """
    settings = answer_settings(generation, model)
    order = sorted(range(len(records)), key=lambda index: len(records[index].media))
    answers: list[list[str]] = [[] for _ in records]
    for at in range(0, len(order), batch_size):
        chosen = order[at : at + batch_size]
        group = _Group(model, [records[index] for index in chosen], root, settings)
        for index, said in zip(chosen, group.answers(), strict=True):
            answers[index] = said
        progress(len(chosen))
    return answers


@dataclass
class _Asked:
    """One conversation: its turns so far, and those that wait for an answer."""

    transcript: Transcript
    waiting: list[Message]
    """The user messages without an answer."""

    encoded: list[Tensor]
    """The projected features of each medium, [slots, D]."""

    answers: list[str]


class _Group:
    """Conversations that are answered together, turn by turn."""

    def __init__(
        self,
        model: MMModalForConditionalGeneration,
        records: Sequence[Record],
        root: Path,
        settings: AnswerSettings,
    ) -> None:
        self._model, self._preparer = model, model.processor.preparer
        self._settings = settings
        self._endings = Endings.of(model, settings.eos_token_id, settings.stop_strings)
        transcripts = [self._begun(record, root) for record in records]
        media = [medium for transcript in transcripts for medium in transcript.media]
        encoded = iter(self._encode(media))
        self._asked = [
            _Asked(
                transcript,
                [message for message in record.messages if message.role == "user"],
                [next(encoded) for _ in transcript.media],
                [],
            )
            for record, transcript in zip(records, transcripts, strict=True)
        ]

    def answers(self) -> list[list[str]]:
        """Return the answers to all turns of all conversations."""
        while going := [one for one in self._asked if one.waiting]:
            for one in going:
                one.transcript.add(one.waiting.pop(0))
            for one, answer in zip(going, self._generate(going), strict=True):
                one.transcript.answer(answer)
                one.answers.append(answer)
        return [one.answers for one in self._asked]

    def _begun(self, record: Record, root: Path) -> Transcript:
        """Return the transcript of a record that holds only its system messages and media."""
        transcript = Transcript(self._preparer, root=root)
        for ref in record.media:
            transcript.attach(ref.kind, ref.address)
        for message in record.messages:
            if message.role == "system":
                transcript.add(message)
        return transcript

    def _encode(self, media: Sequence[PreparedMedium]) -> list[Tensor]:
        """Return the encoded media in their order; each modality is encoded in one call."""
        inputs: dict[str, Any] = dict(self._preparer.collate_media(media))
        with torch.inference_mode():
            encoded = self._model.model.encode_media(inputs)
        queues = {name: iter(_items(output)) for name, output in encoded.items()}
        return [next(queues[medium.modality]) for medium in media]

    def _generate(self, going: Sequence[_Asked]) -> list[str]:
        context = self._model.config.positions
        prompts = [one.transcript.prompt(context, self._settings.max_new_tokens) for one in going]
        rendered = [prompt.rendered for prompt in prompts]
        samples = [Sample(each.input_ids, each.labels) for each in rendered]
        batch: dict[str, Any] = dict(self._preparer.collate(samples, padding_side="left"))
        del batch["labels"]
        width = batch["input_ids"].shape[1]
        shown = [(one, i) for one, r in zip(going, rendered, strict=True) for i in r.media]
        criteria = self._endings.criteria(width)
        with torch.inference_mode():
            ids = self._model.generate(
                **{name: value.to(self._model.device) for name, value in batch.items()},
                mm_encoder_outputs=_joined(shown),
                stopping_criteria=[*self._settings.stopping_criteria, *criteria],
                **self._settings.arguments(),
            )
        return [self._endings.read(row)[0] for row in ids[:, width:].tolist()]


def _joined(shown: Sequence[tuple[_Asked, int]]) -> Mapping[str, MediaFeatures]:
    grouped: dict[str, list[Tensor]] = {}
    for one, index in shown:
        name = one.transcript.media[index].modality
        grouped.setdefault(name, []).append(one.encoded[index])
    return {
        name: MediaFeatures(pooler_output=torch.cat(items), lengths=[len(i) for i in items])
        for name, items in grouped.items()
    }


def _items(output: MediaFeatures) -> list[Tensor]:
    assert output.pooler_output is not None and output.lengths is not None
    return list(output.pooler_output.split(list(output.lengths)))
