"""The contract of converters, which read the composed checkpoints of other projects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mmmodal.contracts.addition import Addition
from mmmodal.contracts.markup import Markup

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

__all__ = ["ComposedCheckpoint", "Conversion", "ConvertedModality", "Converter", "Prefixes"]

Prefixes = tuple[str, ...]
"""The possible prefixes of a part's tensor names; the one with the most tensors is used."""


@dataclass(frozen=True)
class ConvertedModality:
    """The parts of one modality, and the prefixes of their tensors in the checkpoint."""

    addition: Addition
    markup: Markup
    tower: Prefixes
    projector: Prefixes


@dataclass(frozen=True)
class Conversion:
    """The description of a checkpoint; core reads its tensors and writes the model."""

    text_config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    modalities: tuple[ConvertedModality, ...]
    language_model: Prefixes
    head: Prefixes


class ComposedCheckpoint(Protocol):
    """A folder or Hub id with one `config.json` for several parts. Its content is not trusted."""

    source: str
    """The source as the user wrote it, for errors."""

    config: dict[str, Any]
    """The content of `config.json`."""

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of another JSON file of the checkpoint; {} if it does not exist."""

    def part_config(self, key: str) -> dict[str, Any]:
        """Return the config of a part; raise a PartError if `config.json` has no such key."""

    def text_config(self, key: str) -> PreTrainedConfig:
        """Return the config of the language model from the section `key`.

        Raises:
            PartError: transformers has no such causal language model.
        """

    def tokenizer(self, chat_template: str | None) -> PreTrainedTokenizerBase:
        """Return the tokenizer, exactly as `tokenizer.json` defines it.

        Raises:
            PartError: it is missing, damaged, or combines files of two models.
        """

    def as_checkpoint(
        self, config: Mapping[str, Any], preprocessor: Mapping[str, Any]
    ) -> AbstractContextManager[str]:
        """Yield a temporary folder with the config of one part, in the form that encoders read."""


class Converter(ABC):
    """One format of composed checkpoints, recognised by its `config.json`."""

    name: ClassVar[str]
    """The name of the format: `llava`."""

    shape: ClassVar[str]
    """The mark of the format in `config.json`, for errors: `"model_type": "llava"`."""

    @abstractmethod
    def matches(self, config: Mapping[str, Any]) -> bool:
        """Return whether a `config.json` is of this format."""

    @abstractmethod
    def read(self, source: ComposedCheckpoint, chat_template: str | None) -> Conversion:
        """Return the description of a checkpoint, from its JSON files and shapes, without weights.

        Args:
            source: the checkpoint. Its content must not be trusted.
            chat_template: a Jinja text that replaces the checkpoint's own.

        Raises:
            PartError: it is incomplete, or has a property that this converter cannot express.
        """
