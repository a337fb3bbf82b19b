"""How another project's composed checkpoint becomes one of ours: what is in it, and where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from mmmodal.contracts.addition import Addition
    from mmmodal.conversation.layout import Markup
    from mmmodal.converting.source import ComposedSource

__all__ = ["Conversion", "ConvertedModality", "Converter", "Prefixes"]

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
    def read(self, source: ComposedSource, chat_template: str | None) -> Conversion:
        """Describe a checkpoint of this format; reads JSON files and shapes, never weights.

        Args:
            source: the checkpoint. Nothing in it is to be trusted.
            chat_template: a Jinja text that replaces the checkpoint's own.

        Raises:
            PartError: it is not whole, or has what this converter cannot express.
        """
