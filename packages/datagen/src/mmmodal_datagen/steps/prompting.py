"""What steps put before a language model, raw or as chat, and what is known about a row."""

from __future__ import annotations

import functools
from typing import Literal

from mmmodal_datagen.contracts import ChatTurn, Rejected, Row, Sampling
from mmmodal_datagen.running.context import RowContext
from mmmodal_datagen.steps.answers import Ask
from mmmodal_datagen.steps.dialogue import format_prompt

__all__ = ["Style", "asking", "described"]

Style = Literal["raw", "chat"]
"""raw: Mistral's template, written out as the paper does, for a completion endpoint; chat: any."""


def asking(
    context: RowContext, style: Style, prompt: str, sampling: Sampling, *, system: str = ""
) -> Ask:
    """Return the call that asks for one answer and only lacks the number of the attempt.

    Args:
        context: of the row.
        style: how the prompt is sent.
        prompt: the user's turn.
        sampling: how the answer is drawn.
        system: what the model is told beforehand; a raw prompt begins with it, as Mistral's
            template has no place for it.
    """
    if style == "raw":
        whole = f"{system}\n\n{prompt}" if system else prompt
        stopping = sampling.model_copy(update={"stop": ("</s>", "[INST]")})
        return functools.partial(context.complete, format_prompt(whole, ()), stopping)
    told = [ChatTurn(role="system", content=system)] if system else []
    turns = [*told, ChatTurn(role="user", content=prompt)]
    return functools.partial(context.chat, turns, sampling)


def described(row: Row) -> str:
    """Return what is known about a row's media.

    Raises:
        Rejected: nothing is.
    """
    texts = "\n".join(medium.description or "" for medium in row.media).strip()
    if not texts:
        raise Rejected("no description", "no medium of the row has one")
    return texts
