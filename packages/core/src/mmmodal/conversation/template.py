"""The chat template of a tokenizer: a function from messages to text, known by its output alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Chat", "ChatTemplate"]

Chat = Sequence[tuple[str, str]]
"""The role and the content of each message."""


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer."""

    tokenizer: PreTrainedTokenizerBase

    @property
    def origin(self) -> str:
        """The name of the tokenizer, for errors."""
        return self.tokenizer.name_or_path or "this model"

    @property
    def source(self) -> str:
        """The Jinja text."""
        return self.tokenizer.get_chat_template()

    def write(self, chat: Chat, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation.

        Raises:
            TemplateError: the template refuses it.
        """
        turns = [{"role": role, "content": content} for role, content in chat]
        text: Any = self.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return str(text)

    def apply(self, chat: Chat, add_generation_prompt: bool = False) -> str:
        """Return the text of a conversation.

        Raises:
            RenderError: the template refuses it; names the message.
        """
        try:
            return self.write(chat, add_generation_prompt)
        except TemplateError as error:
            raise self._refusal(chat, error) from None

    def _refusal(self, chat: Chat, error: TemplateError) -> RenderError:
        """Return an error that names the first message that the template refuses."""
        number = len(chat)
        for count in range(1, len(chat)):
            try:
                self.write(chat[:count])
            except TemplateError as earlier:
                if str(earlier) == str(error):
                    number = count
                    break
        role = chat[number - 1][0]
        hint = "; move its text into the first user message" if role == "system" else ""
        return RenderError(
            f"the chat template of {self.origin} refuses the role {role!r} of message "
            f"{number} ({error}){hint}"
        )
