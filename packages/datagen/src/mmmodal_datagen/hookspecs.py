"""The hooks of the data pipeline: its steps, and the models they call. Each returns classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmmodal.authoring.plugins import hookspec

if TYPE_CHECKING:
    from mmmodal_datagen.contracts import Generator, LanguageModel, Recogniser, Translator

__all__ = [
    "mmmodal_generators",
    "mmmodal_language_models",
    "mmmodal_recognisers",
    "mmmodal_translators",
]


@hookspec
def mmmodal_generators() -> Iterable[type[Generator]]:  # type: ignore[empty-body]
    """Return the steps of the data pipeline that this plugin provides."""


@hookspec
def mmmodal_language_models() -> Iterable[type[LanguageModel]]:  # type: ignore[empty-body]
    """Return the language model backends that this plugin provides."""


@hookspec
def mmmodal_recognisers() -> Iterable[type[Recogniser]]:  # type: ignore[empty-body]
    """Return the recogniser backends that this plugin provides."""


@hookspec
def mmmodal_translators() -> Iterable[type[Translator]]:  # type: ignore[empty-body]
    """Return the translator backends that this plugin provides."""
