"""Refuse tokens and tensor names of a modality that something else has already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mmmodal.contracts import Modality
from mmmodal.contracts.markup import Markup
from mmmodal.errors import PartError
from mmmodal.faults import named

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["check_input_name", "check_markup", "check_tokens"]

TOKENS = ("begin", "end", "slot", "separator")
WORD = re.compile(r"[\w\s'’.,-]*")
"""What people write: letters, digits, spaces, and the signs within and after words."""

OWN = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


def check_markup(kind: Modality, markup: Markup, others: Mapping[str, Markup]) -> None:
    """Check that the tokens of a modality are unlike each other and those of other modalities.

    Raises:
        PartError: two are equal, or one is an ordinary word.
    """
    seen: dict[str, str] = {
        token: f"`{word}` of modality {name!r}"
        for name, other in others.items()
        for word in TOKENS
        if (token := getattr(other, word)) is not None
    }
    for word in TOKENS:
        token = getattr(markup, word)
        if token is None:
            continue
        if token in seen:
            raise _refused(kind, word, token, f"is also the {seen[token]}")
        if WORD.fullmatch(token) or token != token.strip():
            raise _refused(kind, word, token, "is ordinary text, which people write")
        seen[token] = f"`{word}` of this modality"


def check_input_name(kind: Modality, others: Iterable[str], arguments: Iterable[str]) -> None:
    """Check that a modality's tensors can be told from those of others, and from other arguments.

    A modality's tensors are all those whose name is its `input_name`, or begins with it and `_`.

    Args:
        kind: the modality.
        others: the `input_name` of each other modality.
        arguments: the names of the model's other arguments.

    Raises:
        PartError: they cannot.
    """
    mine = kind.input_name
    for other in others:
        if mine == other or mine.startswith(f"{other}_") or other.startswith(f"{mine}_"):
            raise _refused(kind, "input_name", mine, f"clashes with {other!r} of another modality")
    for other in arguments:
        if mine == other or other.startswith(f"{mine}_"):
            raise _refused(kind, "input_name", mine, f"clashes with the argument {other!r}")


def check_tokens(
    kind: Modality, markup: Markup, tokenizer: PreTrainedTokenizerBase, turn_ends: Iterable[int]
) -> None:
    """Check that a tokenizer does not use a modality's tokens for text or turns.

    Raises:
        PartError: one is in its vocabulary as text, or ends a turn, or has another use.
    """
    vocabulary, added = tokenizer.get_vocab(), tokenizer.get_added_vocab()
    taken = {getattr(tokenizer, name, None) for name in OWN}
    taken |= set(tokenizer.convert_ids_to_tokens(list(turn_ends)))
    for word in TOKENS:
        token = getattr(markup, word)
        if token in vocabulary and token not in added:
            raise _refused(kind, word, token, "is ordinary text in the language model's vocabulary")
        if token is not None and token in taken:
            raise _refused(kind, word, token, "has another use in the language model's tokenizer")


def _refused(kind: Modality, word: str, value: str, reason: str) -> PartError:
    return PartError(f"{named(kind)}: its `{word}` {value!r} {reason}; its author must change it")
