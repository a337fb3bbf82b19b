"""The tokens of one medium: markers around it, slots inside, separators between its tiles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmmodal.contracts import Encoder, Modality, Projector
from mmmodal.contracts.markup import Markup
from mmmodal.contracts.record import ContentPart
from mmmodal.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Layout",
    "MarkerIds",
    "has_separator",
    "joined",
    "marker_ids",
    "marker_tokens",
    "markup_of",
    "medium_pattern",
    "spaced",
]

Layout = int | Sequence[int]
"""The number of slots of a medium, or of each of its tiles."""

SPACE = ContentPart(type="text", text=" ")


@dataclass(frozen=True)
class MarkerIds:
    """The token ids around and inside a medium of one modality."""

    begin: int | None
    """The token before an item; None, as for `end`, in a converted model that has none."""

    end: int | None
    slot: int
    separator: int | None = None
    """The token between tiles; None in a model without tiles."""

    inside: tuple[int, ...] = ()
    """The ids between the last slot and `end`, in a model with spaced markup."""

    spaced: bool = False
    """Whether a space separates an item from the text beside it in a message."""

    @property
    def all(self) -> list[int]:
        """The ids of all tokens of this modality, which are never generated."""
        ids = (self.begin, self.end, self.slot, self.separator)
        return [id_ for id_ in ids if id_ is not None]

    def expand(self, layout: Layout) -> list[int]:
        """Return the ids of one medium, markers included."""
        runs = (layout,) if isinstance(layout, int) else layout
        ids = [] if self.begin is None else [self.begin]
        for tile, length in enumerate(runs):
            if tile and self.separator is not None:
                ids.append(self.separator)
            ids += [self.slot] * length
        ids += self.inside
        return ids if self.end is None else [*ids, self.end]


def markup_of(kind: Modality, entry: Mapping[str, Any] | None = None) -> Markup:
    """Return the markup recorded in a model's entry, or the default of the modality."""
    if entry is not None:
        return Markup(**entry)
    return Markup(kind.slot, kind.begin, kind.end, kind.separator)


def has_separator(encoder: Encoder, projector: Projector) -> bool:
    """Return whether a model of these parts puts a learned token between the tiles of an item."""
    return encoder.tiled and projector.tilewise


def marker_tokens(markup: Markup, separated: bool) -> list[str]:
    """Return the tokens that a model needs for a modality: begin, end, slot, separator."""
    separator = markup.separator if separated else None
    tokens = (markup.begin, markup.end, markup.slot, separator)
    return [token for token in tokens if token is not None]


def marker_ids(
    tokenizer: PreTrainedTokenizerBase, kind: Modality, separated: bool, markup: Markup
) -> MarkerIds:
    """Return the ids of a modality's markers and slot.

    Raises:
        CheckpointError: the tokenizer lacks the separator, since the model was composed without it.
    """
    known = tokenizer.get_added_vocab()
    if separated and markup.separator not in known:
        raise CheckpointError(
            f"the encoder of {kind.name!r} makes several tiles, but the tokenizer lacks "
            f"{markup.separator!r} to separate them; compose the model with the option"
        )

    def lookup(token: str | None) -> Any:
        return None if token is None else tokenizer.convert_tokens_to_ids(token)

    ids = MarkerIds(
        lookup(markup.begin),
        lookup(markup.end),
        lookup(markup.slot),
        lookup(markup.separator) if separated else None,
    )
    if not markup.spaced:
        return ids
    # Some tokenizers merge the space into the marker, others make a token of it.
    written: list[int] = tokenizer.encode(markup.shown, add_special_tokens=False)
    if (written[0], written[-1]) != (ids.begin, ids.end):
        raise CheckpointError(
            f"the tokenizer does not read {markup.shown!r} as markers; copy the tokenizer's files "
            "from where the model's are"
        )
    return replace(ids, inside=tuple(written[1:-1]), spaced=True)


def medium_pattern(markup: Markup) -> str:
    """Return a regular expression for one medium in a rendered prompt.

    It has a group for each way to begin: with the begin marker, or with a slot outside of markers.
    """
    if markup.begin is None:
        return rf"({re.escape(markup.slot)})"
    texts = (markup.slot, *([markup.separator] if markup.separator else ()))
    inside, gap = "|".join(map(re.escape, texts)), r"\s*" if markup.spaced else ""
    end = rf"(?:{gap}{re.escape(markup.end)})?" if markup.end else ""
    return rf"({re.escape(markup.begin)})(?:{inside})*{end}|({re.escape(markup.slot)})"


def spaced(parts: Sequence[ContentPart]) -> list[ContentPart]:
    """Return parts with a space between each medium and the part beside it, if it is missing."""
    result: list[ContentPart] = []
    for part in parts:
        if part.text == "":
            continue
        if result and None in (result[-1].text, part.text):
            before, after = result[-1].text or "", part.text or ""
            if not (before[-1:].isspace() or after[:1].isspace()):
                result.append(SPACE)
        result.append(part)
    return result


def joined(parts: Sequence[ContentPart]) -> list[ContentPart]:
    """Return parts with adjacent texts joined, so that escaping sees tokens across their border."""
    result: list[ContentPart] = []
    for part in parts:
        if part.text is not None and result and result[-1].text is not None:
            result[-1] = ContentPart(type="text", text=result[-1].text + part.text)
        else:
            result.append(part)
    return result
