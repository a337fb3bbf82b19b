"""The steps and backends that ship with the pipeline, found through an entry point like others'."""

from __future__ import annotations

from mmmodal.hookspecs import hookimpl
from mmmodal_datagen.contracts import Generator, LanguageModel

__all__ = ["mmmodal_generators"]


@hookimpl
def mmmodal_generators() -> list[type[Generator]]:
    """Return the steps of the paper's pipeline."""
    from mmmodal_datagen.steps.compose import Compose
    from mmmodal_datagen.steps.dialogue import Dialogue
    from mmmodal_datagen.steps.export import Export
    from mmmodal_datagen.steps.gate import Gate
    from mmmodal_datagen.steps.reading import Import

    return [Import, Dialogue, Compose, Gate, Export]


@hookimpl
def mmmodal_language_models() -> list[type[LanguageModel]]:
    """Return the language models of endpoints and of this machine."""
    from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint

    return [OpenAIEndpoint]
