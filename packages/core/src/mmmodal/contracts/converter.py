"""How another project's composed checkpoint becomes one of ours: what is in it, and where."""

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
"""What the names of a part's tensors may begin with: that with the most tensors is taken."""


@dataclass(frozen=True)
class ConvertedModality:
    """The parts of one modality, and where the checkpoint holds their tensors."""

    addition: Addition
    markup: Markup
    tower: Prefixes
    projector: Prefixes


@dataclass(frozen=True)
class Conversion:
    """What a checkpoint holds; core reads its tensors and writes the model."""

    text_config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    modalities: tuple[ConvertedModality, ...]
    language_model: Prefixes
    head: Prefixes


class ComposedCheckpoint(Protocol):
    """A folder or Hub id with one `config.json` for several parts. Nothing in it is trusted."""

    source: str
    """As the user wrote it, for errors."""

    config: dict[str, Any]
    """What `config.json` holds."""

    def json(self, name: str) -> dict[str, Any]:
        """Return what another JSON file of the checkpoint holds; {} if it has none of that name."""

    def part_config(self, key: str) -> dict[str, Any]:
        """Return the config of a part; raises a PartError where `config.json` has no such key."""

    def text_config(self, key: str) -> PreTrainedConfig:
        """Return the config of the language model from what stands under `key`.

        Raises:
            PartError: transformers has no such causal language model.
        """

    def tokenizer(self, chat_template: str | None) -> PreTrainedTokenizerBase:
        """Return the tokenizer, exactly as `tokenizer.json` has it.

        Raises:
            PartError: it is missing, damaged, or made of two models' files.
        """

    def as_checkpoint(
        self, config: Mapping[str, Any], preprocessor: Mapping[str, Any]
    ) -> AbstractContextManager[str]:
        """Offer one part's config as a folder of its own, as encoders read them."""


class Converter(ABC):
    """One format of composed checkpoints, told by its `config.json`."""

    name: ClassVar[str]
    """The word for the format: `llava`."""

    shape: ClassVar[str]
    """What its `config.json` holds, for who brings another: `"model_type": "llava"`."""

    @abstractmethod
    def matches(self, config: Mapping[str, Any]) -> bool:
        """Say whether a `config.json` is of this format."""

    @abstractmethod
    def read(self, source: ComposedCheckpoint, chat_template: str | None) -> Conversion:
        """Describe a checkpoint of this format; reads JSON files and shapes, never weights.

        Args:
            source: the checkpoint. Nothing in it is to be trusted.
            chat_template: a Jinja text that replaces the checkpoint's own.

        Raises:
            PartError: it is not whole, or has what this converter cannot express.
        """
