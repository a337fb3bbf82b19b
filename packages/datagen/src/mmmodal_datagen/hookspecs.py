"""The hooks of the data pipeline: its steps and the models they call. Each returns classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmmodal.hookspecs import hookspec

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
    """Return the steps of the data pipeline this plugin brings."""


@hookspec
def mmmodal_language_models() -> Iterable[type[LanguageModel]]:  # type: ignore[empty-body]
    """Return the ways this plugin asks a language model: an endpoint, or weights in memory."""


@hookspec
def mmmodal_recognisers() -> Iterable[type[Recogniser]]:  # type: ignore[empty-body]
    """Return the ways this plugin turns speech into text."""


@hookspec
def mmmodal_translators() -> Iterable[type[Translator]]:  # type: ignore[empty-body]
    """Return the ways this plugin translates text."""
