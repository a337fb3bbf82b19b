"""A causal language model with its tokenizer and chat template."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from mmmodal.config import Config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Backbone"]


class Backbone(ABC):
    """A decoder-only language model on transformers, and how it talks."""

    name: ClassVar[str]
    """The key users name it by: `tinyllama-1.1b`."""

    source: ClassVar[str | None] = None
    """Where it comes from when the user gives no source (a Hub id); None: a source is needed."""

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
        """Load the tokenizer, with a chat template set.

        Raises:
            PartError: there is no fast tokenizer or no chat template.
        """

    @abstractmethod
    def load(self, source: str, dtype: Any) -> PreTrainedModel:
        """Load the causal language model with its head, in `dtype`."""

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Say what `load(source)` would download as (file, bytes); None where that is not known."""
        return None
