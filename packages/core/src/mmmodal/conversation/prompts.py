"""Prompts: those of a conversation that goes on, and those given as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mmmodal.contracts.markup import Markup
from mmmodal.contracts.record import Message
from mmmodal.conversation.layout import Layout, MarkerIds, medium_pattern
from mmmodal.conversation.locating import TokenizedText
from mmmodal.conversation.rendering import Rendered, Renderer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Prompts", "split_prompt"]


def split_prompt(
    prompt: str,
    markups: Mapping[str, Markup],
    markers: Mapping[str, MarkerIds],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[list[int] | str]:
    """Split a prompt into the ids of its text and the modality of each medium, in order.

    Args:
        prompt: a rendered conversation.
        markups: how the modalities that are looked for are written.
        markers: their ids.
        tokenizer: what knows both.
    """
    signs = {markup.sign: name for name, markup in markups.items()}
    pattern = "|".join(map(medium_pattern, markups.values()))
    if any(markup.spaced for markup in markups.values()):
        text = re.sub(
            pattern, lambda match: markups[signs[match[match.lastindex or 1]]].shown, prompt
        )
        begins = {markers[name].begin: name for name in markups}
        ids = iter(tokenizer.encode(text, add_special_tokens=False))
        yield from _split_ids(ids, begins, markers)
        return
    for piece in re.split(pattern, prompt) if pattern else [prompt]:
        if piece in signs:
            yield signs[piece]
        elif piece:
            yield tokenizer.encode(piece, add_special_tokens=False)


def _split_ids(
    ids: Iterator[int], begins: Mapping[int | None, str], markers: Mapping[str, MarkerIds]
) -> Iterator[list[int] | str]:
    """Split a prompt that was tokenized whole, as markers and the spaces at them may be one."""
    for id_ in ids:
        name = begins.get(id_)
        if name is None:
            yield [id_]
            continue
        yield name
        while next(ids) != markers[name].end:
            pass


class Prompts:
    """The prompts of one conversation that goes on: each is tokenized from where it is new."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._before = TokenizedText("", [])

    def render(self, messages: Sequence[Message], layouts: Sequence[Layout]) -> Rendered:
        """Turn the conversation so far into ids, as `Renderer.prompt` does."""
        rendered, self._before = self._renderer.prompt(messages, layouts, self._before)
        return rendered
