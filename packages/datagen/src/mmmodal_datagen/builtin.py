"""The steps and backends of this package; an entry point names this module, as for any plugin."""

from __future__ import annotations

from mmmodal.authoring.plugins import Family, hookimpl
from mmmodal_datagen.contracts import Generator, LanguageModel, Recogniser, Translator

__all__ = [
    "mmmodal_families",
    "mmmodal_generators",
    "mmmodal_language_models",
    "mmmodal_recognisers",
    "mmmodal_translators",
]


@hookimpl
def mmmodal_families() -> list[Family]:
    """Return the steps and the models they call, whose hooks this package defines."""
    from mmmodal_datagen.parts import FAMILY

    return [FAMILY]


@hookimpl
def mmmodal_generators() -> list[type[Generator]]:
    """Return the steps of the paper's pipeline."""
    from mmmodal_datagen.steps.compose import Compose
    from mmmodal_datagen.steps.dialogue import Dialogue
    from mmmodal_datagen.steps.export import Export
    from mmmodal_datagen.steps.gate import Gate
    from mmmodal_datagen.steps.import_ import Import
    from mmmodal_datagen.steps.questions import Questions
    from mmmodal_datagen.steps.relate import Relate
    from mmmodal_datagen.steps.segment import Segment
    from mmmodal_datagen.steps.transcribe import Transcribe
    from mmmodal_datagen.steps.translate import Translate
    from mmmodal_datagen.steps.visual_qa import VisualQA

    heard = [Segment, Transcribe, Questions, Dialogue]
    return [Import, *heard, VisualQA, Relate, Translate, Compose, Gate, Export]


@hookimpl
def mmmodal_language_models() -> list[type[LanguageModel]]:
    """Return the language models: an endpoint, and weights in this process."""
    from mmmodal_datagen.backends.local_language_model import LocalLanguageModel
    from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint

    return [OpenAIEndpoint, LocalLanguageModel]


@hookimpl
def mmmodal_recognisers() -> list[type[Recogniser]]:
    """Return the recognisers of transformers, openai-whisper and faster-whisper."""
    from mmmodal_datagen.backends.faster_whisper import FasterWhisper
    from mmmodal_datagen.backends.local_recogniser import LocalRecogniser
    from mmmodal_datagen.backends.openai_whisper import OpenAIWhisper

    return [LocalRecogniser, OpenAIWhisper, FasterWhisper]


@hookimpl
def mmmodal_translators() -> list[type[Translator]]:
    """Return the translation models of transformers."""
    from mmmodal_datagen.backends.seq2seq import Seq2Seq

    return [Seq2Seq]
