"""A composed checkpoint of another project, as converters read it. Its content is not trusted."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal import pretrained
from mmmodal.converting.language import causal_config, fast_tokenizer
from mmmodal.converting.weights import Weights
from mmmodal.errors import PartError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

__all__ = ["ComposedSource"]


class ComposedSource:
    """A folder or Hub id with one `config.json` for several parts.

    Args:
        source: the folder or Hub id as the user wrote it.

        Raises:
            PartError: it is not available, or has no `config.json`.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        values = pretrained.read_json(source, "config.json")
        if values is None:
            raise PartError(f"{source}: it has no config.json, so its format is unknown")
        self.config: dict[str, Any] = values
        """The content of `config.json`."""

    @functools.cached_property
    def weights(self) -> Weights:
        """The tensors of all parts."""
        return Weights(self.source)

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of another JSON file of the checkpoint; {} if it does not exist."""
        return pretrained.read_json(self.source, name) or {}

    def part_config(self, key: str) -> dict[str, Any]:
        """Return the config of a part.

        Raises:
            PartError: `config.json` has no such key.
        """
        values = self.config.get(key)
        if not isinstance(values, dict):
            raise PartError(f"{self.source}: config.json has no {key!r}, so that part is missing")
        return values

    def text_config(self, key: str) -> PreTrainedConfig:
        """Return the config of the language model from the section `key`.

        Raises:
            PartError: transformers has no such causal language model.
        """
        return causal_config(self.part_config(key), f"{self.source}: {key} in config.json")

    def tokenizer(self, chat_template: str | None) -> PreTrainedTokenizerBase:
        """Return the tokenizer, exactly as `tokenizer.json` defines it.

        Raises:
            PartError: it is missing, damaged, or combines files of two models.
        """
        return fast_tokenizer(self.source, chat_template)

    @contextlib.contextmanager
    def as_checkpoint(
        self, config: Mapping[str, Any], preprocessor: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yield a temporary folder with the config of one part, in the form that encoders read.

        Errors that are raised inside name the checkpoint instead of that folder.
        """
        with tempfile.TemporaryDirectory() as folder:
            for name, values in (("config", config), ("preprocessor_config", preprocessor)):
                Path(folder, f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
            try:
                yield folder
            except PartError as error:
                raise PartError(str(error).replace(folder, self.source)) from None
