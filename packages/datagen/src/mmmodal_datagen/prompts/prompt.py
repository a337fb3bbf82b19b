"""Prompts to a language model: Mistral's raw template or chat messages, and descriptions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

from mmmodal_datagen.contracts import ChatTurn, Rejected, Row, RowContext, Sampling
from mmmodal_datagen.prompts.answers import Ask

__all__ = ["History", "Style", "asking", "described", "format_prompt", "format_user"]

Style = Literal["raw", "chat"]
"""raw: Mistral's template as in the paper, for a completion endpoint; chat: any endpoint."""


History = Sequence[tuple[str, str]]


def format_prompt(message: str, history: History) -> str:
    """Return a conversation up to the assistant's turn, as the paper prints it."""
    return f"{_said(history)}[INST] {message} [/INST]"


def format_user(history: History) -> str:
    """Return a conversation up to the user's turn, as the paper prints it."""
    return f"{_said(history)}[INST]"


def _said(history: History) -> str:
    turns = (f"[INST] {user} [/INST] {assistant}</s> " for user, assistant in history)
    return "<s>" + "".join(turns)


def asking(
    context: RowContext, style: Style, prompt: str, sampling: Sampling, *, system: str = ""
) -> Ask:
    """Return the call for one answer; it lacks only the number of the attempt.

    Args:
        context: of the row.
        style: of the prompt.
        prompt: the user's turn.
        sampling: how the answer is drawn.
        system: the system message; a raw prompt begins with it, as Mistral's template has no
            place for one.
    """
    if style == "raw":
        whole = f"{system}\n\n{prompt}" if system else prompt
        stopping = sampling.model_copy(update={"stop": ("</s>", "[INST]")})
        return functools.partial(context.complete, format_prompt(whole, ()), stopping)
    first = [ChatTurn(role="system", content=system)] if system else []
    turns = [*first, ChatTurn(role="user", content=prompt)]
    return functools.partial(context.chat, turns, sampling)


def described(row: Row) -> str:
    """Return the descriptions of a row's media.

    Raises:
        Rejected: there is none.
    """
    texts = "\n".join(medium.description or "" for medium in row.media).strip()
    if not texts:
        raise Rejected("no description", "no medium of the row has one")
    return texts
