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
    """Facts about a published language model, known without its files."""

    parameters: int
    """The number of parameters; those that the embedding shares with the head count once."""

    positions: int
    """The maximum number of tokens of a conversation: its config's `max_position_embeddings`."""

    licence: str | None
    """The SPDX name of its licence, or else the Hub's name: `Apache-2.0`, `llama3.2`."""


class Backbone(ABC):
    """A decoder-only language model of transformers, with its tokenizer and chat template."""

    name: ClassVar[str]
    """The name that users give: `tinyllama-1.1b`."""

    source: ClassVar[str | None] = None
    """The source (a Hub id) if the user gives none; None: the user must give one."""

    card: ClassVar[BackboneCard | None] = None
    """Facts about a preset's `source`, to list them without a download; None without a preset."""

    Options: ClassVar[type[Config]] = Config
    """The schema of the options."""

    options: Any

    def __init__(self, options: Config | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def config(self, source: str) -> PreTrainedConfig:
        """Return the language model's config, without reading weights.

        Raises:
            PartError: `source` is not a decoder-only language model.
        """

    @abstractmethod
    def tokenizer(self, source: str) -> PreTrainedTokenizerBase:
        """Return the tokenizer, with its own chat template or that of the options.

        Raises:
            PartError: there is no fast tokenizer, or it has no end token.
        """

    @abstractmethod
    def load(self, source: str, dtype: Any) -> PreTrainedModel:
        """Return the causal language model with its head and weights, in `dtype`."""

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Return the files that `load(source)` would download as (file, bytes); None if unknown."""
        return None
