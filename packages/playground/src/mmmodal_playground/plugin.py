"""The trained parts as plugins: encoders and a backbone that include their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mmmodal.authoring.parts import Backbone, Encoder
from mmmodal.authoring.plugins import hookimpl
from mmmodal.authoring.pretrained import AutoBackbone
from mmmodal_audio_whisper import Whisper
from mmmodal_playground.parts import part_folder, shipped
from mmmodal_vision_siglip import Siglip

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from mmmodal_datagen.contracts import Recogniser, Translator

__all__ = ["PlaygroundLlama", "PlaygroundSiglip", "PlaygroundWhisper"]


class _Shipped(Encoder):
    """An encoder whose weights are verified before they are read."""

    part: ClassVar[str]

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Verify the shipped weights, and return their config."""
        if source in (None, cls.source):
            source = str(part_folder(cls.part))
        return super().from_source(source, options)


class PlaygroundSiglip(_Shipped, Siglip):
    """The tiny SigLIP that knows the playground's shapes."""

    name: ClassVar[str] = "playground-siglip"
    part: ClassVar[str] = "siglip"
    source: ClassVar[str | None] = str(shipped() / "siglip")


class PlaygroundWhisper(_Shipped, Whisper):
    """The tiny Whisper that knows the playground's phrases."""

    name: ClassVar[str] = "playground-whisper"
    part: ClassVar[str] = "whisper"
    source: ClassVar[str | None] = str(shipped() / "whisper")


class PlaygroundLlama(AutoBackbone):
    """The tiny Llama that knows the playground's dialogues in English and Malay."""

    name: ClassVar[str] = "playground-llama"
    source: ClassVar[str | None] = str(shipped() / "llama")

    def config(self, source: str) -> PreTrainedConfig:
        """Verify the shipped weights, and return their config."""
        if source == self.source:
            part_folder("llama")
        return super().config(source)


@hookimpl
def mmmodal_encoders() -> list[type[Encoder]]:
    """Return the trained SigLIP and Whisper."""
    return [PlaygroundSiglip, PlaygroundWhisper]


@hookimpl
def mmmodal_backbones() -> list[type[Backbone]]:
    """Return the trained Llama."""
    return [PlaygroundLlama]


@hookimpl
def mmmodal_recognisers() -> list[type[Recogniser]]:
    """Return the trained Whisper, for the data pipeline; only that package calls this hook."""
    from mmmodal_playground.generating import PlaygroundRecogniser

    return [PlaygroundRecogniser]


@hookimpl
def mmmodal_translators() -> list[type[Translator]]:
    """Return the trained translator, for the data pipeline."""
    from mmmodal_playground.generating import PlaygroundTranslator

    return [PlaygroundTranslator]
