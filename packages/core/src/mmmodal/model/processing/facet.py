"""One modality of a processor, as tools of transformers know an image processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import BatchFeature

from mmmodal.contracts import Encoder
from mmmodal.samples.preparer import Preparer

__all__ = ["ModalityFacet"]


class ModalityFacet:
    """What a processor's `image_processor` or `feature_extractor` is for, and nothing of its own.

    Pipelines ask it for the padding of tensors, TRL for the tensors of media without text.
    """

    padding_value = 0.0

    def __init__(self, processor: Any, preparer: Preparer, modality: str) -> None:
        """Make the facet.

        Args:
            processor: the processor, to which calls are passed on.
            preparer: its preparer.
            modality: the modality.
        """
        self._processor = processor
        self._preparer = preparer
        self._modality = modality

    def __call__(self, *given: Any, **kwargs: Any) -> BatchFeature:
        """Return the tensors of media: `image_processor(images)`, `image_processor(images=…)`."""
        media = {self._modality: given[0]} if given else {}
        batch: BatchFeature = self._processor(**media, **kwargs)
        return batch

    @property
    def model_input_names(self) -> list[str]:
        """The names of all tensors of this modality."""
        encoder = self._preparer.encoders[self._modality]
        example = self._preparer.preprocess(self._modality, encoder.example())
        names = list(self._preparer.collate_media([example]))
        if type(encoder).collate is Encoder.collate:  # which masks items of different lengths
            names.append(f"{self._preparer.modalities[self._modality].input_name}_mask")
        return names

    @property
    def sampling_rate(self) -> int:
        """The rate of the encoder in Hz, for a modality of samples in time."""
        rate: int = self._preparer.encoders[self._modality].example().rate
        return rate

    def fetch_images(self, images: Any) -> Any:
        """Return media unchanged: the processor reads them itself."""
        return images

    def fetch_audio(self, audio: Any, **_: Any) -> Any:
        """Return media unchanged: the processor reads them itself."""
        return audio

    def save_pretrained(self, folder: str | Path, **kwargs: Any) -> Any:
        """Write the whole processor, whose settings are in one file."""
        return self._processor.save_pretrained(folder, **kwargs)
