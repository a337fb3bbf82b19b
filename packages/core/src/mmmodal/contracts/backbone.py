"""A causal language model with its tokenizer and chat template."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.config import Config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Backbone", "BackboneCard"]


@dataclass(frozen=True)
class BackboneCard:
    """What a published language model is, known without its files."""

    parameters: int
    """How many it has; what the embeddings share with the head counts once."""

    positions: int
    """The tokens of the longest conversation: its config's `max_position_embeddings`."""

    licence: str | None
    """The SPDX name of its licence, or the Hub's where it has none: `Apache-2.0`, `llama3.2`."""


class Backbone(ABC):
    """A decoder-only language model on transformers, and how it talks."""

    name: ClassVar[str]
    """The key users name it by: `tinyllama-1.1b`."""

    source: ClassVar[str | None] = None
    """Where it comes from when the user gives no source (a Hub id); None: a source is needed."""

    card: ClassVar[BackboneCard | None] = None
    """What a preset's `source` holds, so that it can be listed without a download; else None."""

    Options: ClassVar[type[Config]] = Config
    """What can be set."""

    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def config(self, source: str) -> PreTrainedConfig:
        """Read the language model's config; no weights.

        Raises:
            PartError: `source` is no decoder-only language model.
        """

    @abstractmethod
    def tokenizer(self, source: str) -> PreTrainedTokenizerBase:
        """Load the tokenizer, with the chat template that it comes with or the options give.

        Raises:
            PartError: there is no fast tokenizer, or it has no end token.
        """

    @abstractmethod
    def load(self, source: str, dtype: Any) -> PreTrainedModel:
        """Load the causal language model with its head, in `dtype`."""

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Say what `load(source)` would download as (file, bytes); None where that is not known."""
        return None
