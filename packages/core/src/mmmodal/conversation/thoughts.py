"""The thoughts of reasoning models in answers and prompts, between tags such as `<think>`."""

from __future__ import annotations

import re
from typing import Literal

from mmmodal.contracts.record import ContentPart, Message
from mmmodal.conversation.layout import joined
from mmmodal.errors import RenderError

__all__ = [
    "TAGS",
    "Thoughts",
    "after_opening",
    "opened_thought",
    "with_opening",
    "without_thoughts",
]

Thoughts = Literal["keep", "drop"]
"""Whether the thoughts in answers are learned with them, or removed before."""

TAGS = (
    ("<think>", "</think>"),  # Qwen3, DeepSeek-R1, SmolLM3, GLM-4.5 and most others
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A Reasoning
)
"""The tags around a thought, as the documentation of models names them."""


def without_thoughts(message: Message) -> Message:
    """Return a message; that of an assistant without the thoughts in front of its text.

    Raises:
        RenderError: nothing else is in the answer, or its thought has no end.
    """
    if message.role != "assistant":
        return message
    parts = [
        part if part.text is None else ContentPart(type="text", text=_without(part.text))
        for part in joined(message.content)
    ]
    return message.model_copy(update={"content": tuple(parts)})


def opened_thought(prompt: str) -> tuple[str, str] | None:
    """Return the tags of the thought that a prompt opens at its end, or None."""
    end = prompt.rstrip()
    return next((tags for tags in TAGS if end.endswith(tags[0])), None)


def after_opening(answer: str, prompt: str) -> str:
    """Return what a model has to say after a prompt that may have opened its thought.

    An answer without thought closes the empty one at once, as the templates of Qwen3 write it.
    """
    tags = opened_thought(prompt)
    if tags is None:
        return answer
    opening, closing = tags
    stripped = answer.lstrip()
    if stripped.startswith(opening):
        begun = stripped.removeprefix(opening)
        return begun.lstrip("\n") if prompt.endswith("\n") else begun
    if closing in answer:  # a thought whose opening is that of the prompt
        return answer
    lines = len(prompt) - len(prompt.rstrip("\n"))
    return "\n" * max(2 - lines, 0) + f"{closing}\n\n{stripped}"


def with_opening(answer: str, prompt: str) -> str:
    """Return an answer as rows hold it: the thought that the prompt opened is whole, or left out.

    The inverse of `after_opening`.
    """
    tags = opened_thought(prompt)
    if tags is None or tags[1] not in answer or answer.lstrip().startswith(tags[0]):
        return answer
    thought, _, rest = answer.partition(tags[1])
    return f"{tags[0]}\n{answer}" if thought.strip() else rest.lstrip()


def _without(answer: str) -> str:
    rest = _after_thoughts(answer)
    if rest != answer and not rest.strip():
        raise RenderError("an answer is nothing but a thought; keep thoughts, or remove the row")
    if any(rest.lstrip().startswith(opening) for opening, _ in TAGS):
        raise RenderError("the thought of an answer has no end; keep thoughts, or remove the row")
    return rest


def _after_thoughts(answer: str) -> str:
    rest = answer
    for opening, closing in TAGS:
        while rest.lstrip().startswith(opening) and closing in rest:
            rest = rest.partition(closing)[2].lstrip()
        # The opening is missing where the prompt wrote it; then the closing tag ends a line.
        bare = re.match(rf"(?s)(?:(?!{re.escape(opening)}).)*?{re.escape(closing)}\s*(\n|\Z)", rest)
        if bare is not None:
            rest = rest[bare.end() :].lstrip()
    return rest
