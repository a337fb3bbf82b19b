"""The chat template of a call: the processor's or another, with the variables that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmmodal.conversation.generation_blocks import (
    BlockRenderer,
    has_blocks,
    template_variables,
)
from mmmodal.conversation.rendering import Renderer
from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Template"]


@dataclass(frozen=True)
class Template:
    """A chat template and what it is given beside messages."""

    source: str
    settings: dict[str, Any] = field(default_factory=dict)
    """The arguments of the tokenizer's `apply_chat_template`; none for its own template."""

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        given: str | None,
        tools: Any,
        documents: Any,
    ) -> Template:
        """Return a template, or that of the tokenizer, with tools and documents.

        Raises:
            RenderError: the template reads no tools or documents, but there are some.
        """
        source = str(tokenizer.get_chat_template(given, tools))
        known = {"tools": tools or None, "documents": documents or None}
        settings = {name: value for name, value in known.items() if value is not None}
        for name in settings:
            if name not in template_variables(source):
                raise RenderError(f"the chat template reads no {name}; give another chat_template")
        return cls(source, settings | ({} if given is None else {"chat_template": given}))

    @property
    def variables(self) -> frozenset[str]:
        """The names of the variables that the template reads."""
        return template_variables(self.source)

    def with_variables(self, given: Mapping[str, Any]) -> Template:
        """Return the template with those of the arguments that it reads."""
        read = {name: value for name, value in given.items() if name in self.variables}
        return Template(self.source, self.settings | read)

    def renderer(self, own: Renderer, *, marked: bool) -> Renderer:
        """Return the renderer of this template.

        Args:
            own: the renderer of the tokenizer's own template.
            marked: whether labels are at the template's `{% generation %}` blocks, if it has some.
        """
        if marked and has_blocks(self.source):
            return own.variant(self.settings, BlockRenderer)
        return own.variant(self.settings) if self.settings else own
