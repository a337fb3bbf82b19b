"""How one medium stands among the tokens: markers around it, slots inside, separators between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Layout",
    "MarkerIds",
    "has_separator",
    "marker_ids",
    "marker_tokens",
    "medium_pattern",
]

Layout = int | Sequence[int]
"""The slots of a medium: how many, or how many of each tile."""


@dataclass(frozen=True)
class MarkerIds:
    """The token ids around and inside a medium of one modality."""

    begin: int
    end: int
    slot: int
    separator: int | None = None
    """What stands between tiles; None in a model that knows no tiles."""

    @property
    def all(self) -> list[int]:
        """Every token of this modality; none is ever generated."""
        ids = (self.begin, self.end, self.slot, self.separator)
        return [id_ for id_ in ids if id_ is not None]

    def expand(self, layout: Layout) -> list[int]:
        """Return all ids of one medium, from its begin to its end."""
        runs = (layout,) if isinstance(layout, int) else layout
        ids = [self.begin]
        for tile, length in enumerate(runs):
            if tile and self.separator is not None:
                ids.append(self.separator)
            ids += [self.slot] * length
        return [*ids, self.end]


def has_separator(encoder: Encoder, projector: Projector) -> bool:
    """Say whether a model of these parts puts a learned token between the tiles of an item."""
    return encoder.tiled and projector.tilewise


def marker_tokens(kind: Modality, separated: bool) -> list[str]:
    """Return the tokens that a model needs for a modality: begin, end, slot, separator."""
    return [kind.begin, kind.end, kind.slot, *([kind.separator] if separated else [])]


def marker_ids(tokenizer: PreTrainedTokenizerBase, kind: Modality, separated: bool) -> MarkerIds:
    """Look up the ids of a modality's markers and slot.

    Raises:
        CheckpointError: the tokenizer lacks the separator, as that of a model composed without it.
    """
    known = tokenizer.get_added_vocab()
    if separated and kind.separator not in known:
        raise CheckpointError(
            f"the encoder of {kind.name!r} makes several tiles, but the tokenizer lacks "
            f"{kind.separator!r} to separate them; compose the model with the option"
        )
    lookup: Any = tokenizer.convert_tokens_to_ids
    return MarkerIds(*(lookup(token) for token in marker_tokens(kind, separated)))


def medium_pattern(kind: Modality) -> str:
    """Return a pattern of what may stand for one medium in a rendered prompt."""
    inside = "|".join(re.escape(token) for token in (kind.slot, kind.separator))
    return rf"({re.escape(kind.begin)})(?:{inside})*(?:{re.escape(kind.end)})?"
