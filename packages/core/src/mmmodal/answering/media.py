"""The media of a batch: what many conversations show is read and encoded once.

A tower runs on all items of the batch together. Its features of an item are the same in any batch
but for the last bits of floats (measured, fp32 on a CPU: a difference of 5e-7 for Whisper), so that
they are not kept for other batches: answers would depend on what was asked before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mmmodal.contracts.record import MediaRef
from mmmodal.media.source import find_source
from mmmodal.model.perception import MediaFeatures
from mmmodal.model.zero3 import inference
from mmmodal.samples.preparer import PreparedMedium, Preparer

if TYPE_CHECKING:
    from torch import Tensor

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["BatchMedia", "Content", "joined"]

Content = tuple[str, str]
"""What is the same for equal media: the modality, and the SHA-256 of the bytes."""


class BatchMedia:
    """The different media of a batch of conversations."""

    def __init__(self, preparer: Preparer) -> None:
        self.prepared: dict[Content, PreparedMedium] = {}
        self.encoded: dict[Content, Tensor] = {}
        """The projected features of each medium, [slots, D]; empty before `encode`."""

        self._preparer = preparer

    def read(self, ref: MediaRef, root: Path) -> Content:
        """Return the content of a medium; what is new is prepared.

        Raises:
            MediaError: it cannot be read.
            RenderError: the model has no such modality.
            PartError: the projector cannot take it, or a part failed.
        """
        name = self._preparer.modality_named(ref.kind)
        limits = self._preparer.limits(name)
        with find_source(ref.address, root=root, limits=limits).held(limits) as source:
            content = name, source.sha256()
            if content not in self.prepared:
                item = self._preparer.read(name, source)
                self.prepared[content] = self._preparer.preprocess(name, item)
        return content

    def encode(self, model: MMModalForConditionalGeneration) -> None:
        """Encode all media, those of each modality in one call."""
        media = list(self.prepared.values())
        inputs: dict[str, Any] = dict(self._preparer.collate_media(media))
        with inference(model):
            outputs = model.model.encode_media(inputs)
        queues = {name: iter(_items(output)) for name, output in outputs.items()}
        self.encoded = {content: next(queues[content[0]]) for content in self.prepared}


def joined(shown: Iterable[tuple[str, Tensor]]) -> dict[str, MediaFeatures]:
    """Return the features of media by modality, from (modality, features [slots, D]) pairs."""
    grouped: dict[str, list[Tensor]] = {}
    for name, features in shown:
        grouped.setdefault(name, []).append(features)
    return {
        name: MediaFeatures(pooler_output=torch.cat(items), lengths=[len(i) for i in items])
        for name, items in grouped.items()
    }


def _items(output: MediaFeatures) -> list[Tensor]:
    assert output.pooler_output is not None and output.lengths is not None
    return list(output.pooler_output.split(list(output.lengths)))
