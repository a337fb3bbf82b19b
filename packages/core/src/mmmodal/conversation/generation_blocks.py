"""What a chat template says itself: its variables, and where the assistant generates."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from jinja2.exceptions import TemplateError
from jinja2.meta import find_undeclared_variables

from mmmodal.contracts.record import Message
from mmmodal.conversation.locating import FoundSpan
from mmmodal.conversation.rendering import Renderer
from mmmodal.conversation.template import refusal
from mmmodal.conversation.training_text import TrainingText
from mmmodal.errors import RenderError, one_line

__all__ = ["BlockRenderer", "has_blocks", "template_variables"]

TAG = re.compile(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}")
"""The tags that transformers adds to Jinja: `{% generation %}` and `{% endgeneration %}`."""


def has_blocks(template: str) -> bool:
    """Return whether a template marks what is generated with `{% generation %}`."""
    return TAG.search(template) is not None


@functools.lru_cache(maxsize=32)
def template_variables(template: str) -> frozenset[str]:
    """Return the variables that a chat template reads, such as `messages` or `tools`.

    Raises:
        RenderError: the template is not valid Jinja.
    """
    try:
        parsed = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(TAG.sub("", template))
    except TemplateError as error:
        raise RenderError(f"the chat template is not valid ({one_line(error)})") from None
    return frozenset(find_undeclared_variables(parsed))


class BlockRenderer(Renderer):
    """Render with labels at the `{% generation %}` blocks of the template, and nowhere else."""

    def training_text(self, messages: Sequence[Message]) -> TrainingText:
        """Return the text of the template, and its blocks.

        Raises:
            RenderError: the template refuses a role.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        chat = self._chat(messages)
        settings: dict[str, Any] = {**self.tokenizer.special_tokens_map, **self._settings}
        settings["chat_template"] = self.template
        try:
            rendered: Any = render_jinja_template(
                [[{"role": role, "content": content} for role, content in chat]],
                return_assistant_tokens_mask=True,
                **settings,
            )
        except TemplateError as error:
            raise refusal(self.origin, self._write, chat, error) from None
        (text,), (blocks,) = rendered
        return TrainingText(text, [(start, end) for start, end in blocks], len(chat))

    def _is_anchored(self) -> bool:
        return False  # a block may begin and end anywhere

    def _is_exact(self, written: TrainingText, spoken: Sequence[FoundSpan]) -> bool:
        return True  # tokens that a block shares with other text are learned
