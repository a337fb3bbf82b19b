"""What a chat template's source and its refusals say of it; what it writes is known by trying."""

from __future__ import annotations

import itertools
import re

from jinja2.exceptions import TemplateError

from mmmodal.conversation.thoughts import TAGS
from mmmodal.conversation.turns import Chat, Write
from mmmodal.errors import RenderError

__all__ = ["date_forms", "looked_for", "refusal"]

LITERAL = r"""(?:'((?:[^'\\\n]|\\.)+)'|"((?:[^"\\\n]|\\.)+)")"""
LOOKED_FOR = re.compile(
    rf"{LITERAL}\s*(?:not\s+)?in\b|[.|]\s*\w+\(\s*{LITERAL}|\bset\s+\w+\s*=\s*{LITERAL}\s*-?%"
)
"""The texts that a template may look for: `'x' in`, `.split('x')`, `set tag = 'x'`."""

DATES = re.compile(r"""strftime_now\(\s*['"]([^'"]+)""")


def looked_for(source: str) -> re.Pattern[str]:
    """Return a pattern of the texts in messages that may change what a template writes."""
    found = itertools.chain.from_iterable(LOOKED_FOR.findall(source))
    texts = {_unescaped(text) for text in found} - {"role", "content"}
    texts |= {tag for tags in TAGS for tag in tags}
    return re.compile("|".join(re.escape(text) for text in sorted(texts) if text.strip()))


def date_forms(source: str) -> list[str]:
    """Return the forms of the dates that a template may write, such as `%Y-%m-%d`."""
    return DATES.findall(source)


def refusal(origin: str, write: Write, chat: Chat, error: TemplateError) -> RenderError:
    """Return an error that names the first message that a template refuses.

    Args:
        origin: the name of the template's tokenizer.
        write: the template.
        chat: the conversation.
        error: the template's own error.
    """
    number = len(chat)
    for count in range(1, len(chat)):
        try:
            write(chat[:count], False)
        except TemplateError as earlier:
            if str(earlier) == str(error):
                number = count
                break
    role = chat[number - 1][0]
    hint = "; move its text into the first user message" if role == "system" else ""
    return RenderError(
        f"the chat template of {origin} refuses the role {role!r} of message {number} "
        f"({error}){hint}"
    )


def _unescaped(text: str) -> str:
    return text.encode().decode("unicode_escape", "ignore") if text.isascii() else text
