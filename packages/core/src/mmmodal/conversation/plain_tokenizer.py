"""Copy a tokenizer without its markup tokens, so that text never becomes one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["without_markup"]

BYTE = re.compile("<0x[0-9A-F]{2}>")


def without_markup(backend: Tokenizer, names: Mapping[int, str]) -> Tokenizer:
    """Return a copy without some added tokens; their entries in the vocabulary are renamed."""
    state = json.loads(backend.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["id"] not in names]
    _rename(state["model"], names)
    plain = type(backend).from_str(json.dumps(state))
    plain.no_padding()
    plain.no_truncation()
    return plain


def _rename(model: dict[str, Any], names: Mapping[int, str]) -> None:
    """Rename entries of a vocabulary, and remove the merges that produce them."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: [piece, score] in the order of the ids
        for id_ in names.keys() & range(len(vocabulary)):
            vocabulary[id_][0] = names[id_]
        _spell_bytes(vocabulary)
        return
    renamed = {piece: names[id_] for piece, id_ in vocabulary.items() if id_ in names}
    model["vocab"] = {renamed.get(piece, piece): id_ for piece, id_ in vocabulary.items()}
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
    if renamed and "merges" in model:
        model["merges"] = [
            (left, right)
            for left, right in model["merges"]
            if renamed.keys().isdisjoint((left, right, left + right))
        ]


def _spell_bytes(pieces: list[list[Any]]) -> None:
    """Lower the scores of byte tokens, so that Unigram spells a typed `<0x0A>` by its characters.

    The fallback to bytes uses the names of tokens, not their scores.
    """
    unlikely = min(score for _, score in pieces) - 1000
    for entry in pieces:
        if BYTE.fullmatch(entry[0]):
            entry[1] = unlikely
