"""A model's answers to many conversations at once, each on its own history.

Every turn is asked after the answers that the model itself gave before, never after the right
ones. Media are encoded once for all turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mmmodal.contracts.record import MediaRef, Message, Record
from mmmodal.model.features import MediaFeatures
from mmmodal.model.processing import text_message
from mmmodal.samples.collation import Sample

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["answer_records", "shuffle_media"]

BATCH = 100  # conversations
LONGEST = 32  # tokens of an answer

Progress = Callable[[int], Any]
"""Told how many conversations have been finished since it was told last."""


def answer_records(
    model: MMModalForConditionalGeneration,
    records: Sequence[Record],
    root: Path,
    progress: Progress = lambda finished: None,
) -> list[list[str]]:
    """Return for each record the model's answer to each user turn, taken greedily."""
    order = sorted(range(len(records)), key=lambda index: len(records[index].media))
    answers: list[list[str]] = [[] for _ in records]
    for at in range(0, len(order), BATCH):
        chosen = order[at : at + BATCH]
        group = _Group(model, [records[index] for index in chosen], root)
        for index, said in zip(chosen, group.answers(), strict=True):
            answers[index] = said
        progress(len(chosen))
    return answers


def shuffle_media(records: Sequence[Record]) -> list[Record]:
    """Give every conversation media of others: the same kinds, in the same places.

    Media go round within each kind, by more places than a conversation has, so that none keeps
    one of its own.
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for row, record in enumerate(records):
        for index, medium in enumerate(record.media):
            places.setdefault(medium.kind, []).append((row, index))
    media = [list(record.media) for record in records]
    for kind, ring in places.items():
        most = max(sum(m.kind == kind for m in record.media) for record in records)
        if len(ring) < 2 * most:
            raise ValueError(f"{len(ring)} media of kind {kind!r} are too few to exchange")
        for (row, index), (other, place) in zip(ring, ring[most:] + ring[:most], strict=True):
            media[row][index] = records[other].media[place]
    return [
        record.model_copy(update={"media": tuple(changed)})
        for record, changed in zip(records, media, strict=True)
    ]


@dataclass
class _Asked:
    """One conversation as far as it has come."""

    record: Record
    layouts: list[tuple[int, ...]]
    """Of each medium, the slots of its tiles."""

    embedded: list[Tensor]
    """Of each medium, [m, D]."""

    messages: list[Message]
    answers: list[str]

    @property
    def waiting(self) -> Message | None:
        """The next turn of the user."""
        users = [message for message in self.record.messages if message.role == "user"]
        return users[len(self.answers)] if len(self.answers) < len(users) else None


class _Group:
    """Conversations that are answered together, turn by turn."""

    def __init__(
        self, model: MMModalForConditionalGeneration, records: Sequence[Record], root: Path
    ) -> None:
        self.model, self.processor = model, model.processor
        media = [medium for record in records for medium in record.media]
        features = [self._preprocess(medium, root) for medium in media]
        layouts = [
            self.processor.layout(medium.kind, item)
            for medium, item in zip(media, features, strict=True)
        ]
        embedded = self._embed(media, features)
        self.asked, at = [], 0
        for record in records:
            end = at + len(record.media)
            self.asked.append(_Asked(record, layouts[at:end], embedded[at:end], [], []))
            at = end

    def answers(self) -> list[list[str]]:
        """Go through all turns."""
        while going := [one for one in self.asked if one.waiting is not None]:
            for one in going:
                assert one.waiting is not None
                one.messages.append(one.waiting)
            for one, answer in zip(going, self._generate(going), strict=True):
                one.messages.append(text_message("assistant", answer))
                one.answers.append(answer)
        return [one.answers for one in self.asked]

    def _preprocess(self, medium: MediaRef, root: Path) -> Any:
        item = self.processor.read(medium.kind, medium.uri, root=root)
        return self.processor.encoders[medium.kind].preprocess(item)

    def _embed(self, media: Sequence[MediaRef], features: Sequence[Any]) -> list[Tensor]:
        """Encode all media, one call for each modality, and return them in their order."""
        grouped: dict[str, list[Any]] = {}
        for medium, item in zip(media, features, strict=True):
            grouped.setdefault(medium.kind, []).append(item)
        batch: dict[str, Any] = dict(self.processor.collate([Sample([], [], grouped)]))
        with torch.inference_mode():
            encoded = self.model.model.encode_media(batch)
        queues = {name: iter(_items(output)) for name, output in encoded.items()}
        return [next(queues[medium.kind]) for medium in media]

    def _generate(self, going: Sequence[_Asked]) -> list[str]:
        rendered = [
            self.processor.renderer.render(one.messages, one.layouts, add_generation_prompt=True)
            for one in going
        ]
        samples = [Sample(r.input_ids, r.labels, {}) for r in rendered]
        batch: dict[str, Any] = dict(self.processor.collate(samples, padding_side="left"))
        del batch["labels"]
        width = batch["input_ids"].shape[1]
        seen = [[(one, index) for index in r.media] for one, r in zip(going, rendered, strict=True)]
        with torch.inference_mode():
            ids = self.model.generate(
                **batch,
                mm_encoder_outputs=self._joined([pair for row in seen for pair in row]),
                max_new_tokens=LONGEST,
                do_sample=False,
            )
        decoded = self.processor.tokenizer.batch_decode(ids[:, width:], skip_special_tokens=True)
        return [text.strip() for text in decoded]

    def _joined(self, media: Sequence[tuple[_Asked, int]]) -> Mapping[str, MediaFeatures]:
        grouped: dict[str, list[Tensor]] = {}
        for one, index in media:
            grouped.setdefault(one.record.media[index].kind, []).append(one.embedded[index])
        return {
            name: MediaFeatures(pooler_output=torch.cat(items), lengths=[len(i) for i in items])
            for name, items in grouped.items()
        }


def _items(output: MediaFeatures) -> list[Tensor]:
    assert output.pooler_output is not None and output.lengths is not None
    return list(output.pooler_output.split(list(output.lengths)))
