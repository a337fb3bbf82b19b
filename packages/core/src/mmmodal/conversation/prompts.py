"""Split prompts that are given as text, with a placeholder for each medium."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mmmodal.contracts.markup import Markup
from mmmodal.conversation.layout import MarkerIds, medium_pattern

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["split_prompt"]


def split_prompt(
    prompt: str,
    markups: Mapping[str, Markup],
    markers: Mapping[str, MarkerIds],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[list[int] | str]:
    """Return a prompt as the ids of its texts and the modality of each medium, in order.

    Args:
        prompt: a rendered conversation.
        markups: the markup of each modality to find.
        markers: the ids of that markup.
        tokenizer: the tokenizer of the model.
    """
    signs = {sign: n for n, markup in markups.items() for sign in (markup.sign, markup.slot)}
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
    """Split a prompt after tokenizing it whole, as a marker may include the space beside it."""
    for id_ in ids:
        name = begins.get(id_)
        if name is None:
            yield [id_]
            continue
        yield name
        while next(ids) != markers[name].end:
            pass
