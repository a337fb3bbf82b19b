"""The trained parts as plugins: encoders and a backbone that bring their weights along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mmmodal.backbones.auto import AutoBackbone
from mmmodal.contracts import Backbone, Encoder
from mmmodal.hookspecs import hookimpl
from mmmodal_audio_whisper import Whisper
from mmmodal_playground.parts import part_folder, shipped
from mmmodal_vision_siglip import Siglip

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["PlaygroundLlama", "PlaygroundSiglip", "PlaygroundWhisper"]


class PlaygroundSiglip(Siglip):
    """The tiny SigLIP that knows the playground's shapes."""

    name: ClassVar[str] = "playground-siglip"
    source: ClassVar[str | None] = str(shipped() / "siglip")

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Check the shipped weights, then read their config."""
        if source in (None, cls.source):
            source = str(part_folder("siglip"))
        return super().from_source(source, options)


class PlaygroundWhisper(Whisper):
    """The tiny Whisper that knows the playground's phrases."""

    name: ClassVar[str] = "playground-whisper"
    source: ClassVar[str | None] = str(shipped() / "whisper")

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Check the shipped weights, then read their config."""
        if source in (None, cls.source):
            source = str(part_folder("whisper"))
        return super().from_source(source, options)


class PlaygroundLlama(AutoBackbone):
    """The tiny Llama that talks of the playground in English and Malay."""

    name: ClassVar[str] = "playground-llama"
    source: ClassVar[str | None] = str(shipped() / "llama")

    def config(self, source: str) -> PreTrainedConfig:
        """Check the shipped weights, then read their config."""
        if source == self.source:
            part_folder("llama")
        return super().config(source)


@hookimpl
def mmmodal_encoders() -> list[type[Encoder]]:
    """The trained SigLIP and Whisper."""
    return [PlaygroundSiglip, PlaygroundWhisper]


@hookimpl
def mmmodal_backbones() -> list[type[Backbone]]:
    """The trained Llama."""
    return [PlaygroundLlama]
