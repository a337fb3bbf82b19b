"""The media that a call of the processor was given: in which shapes, and for which prompt."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmmodal.contracts import Modality
from mmmodal.errors import RenderError, SpliceError
from mmmodal.media.source import LONGEST_PATH
from mmmodal.samples.preparer import Preparer

__all__ = ["check_rate", "flat", "per_prompt", "read_medium"]

SHORTEST_BASE64 = 64  # characters; hardly a picture or a sound has less, or a file's name more


def per_prompt(given: Any, modality: Modality, counts: Sequence[int], sign: str) -> list[list[Any]]:
    """Return the media of each prompt.

    A list of lists has one for each prompt. A flat list, or a single medium, is for the
    placeholders of all prompts in order.

    Args:
        given: the media of one modality.
        modality: the modality.
        counts: the number of its placeholders in each prompt.
        sign: the placeholder, for errors.

    Raises:
        SpliceError: there are more or fewer media than placeholders.
    """
    items = modality.items(given)
    if any(_is_nested(item, modality) for item in items):
        lists = [[] if item is None else flat(item, modality) for item in items]
        if len(counts) == 1:
            lists = [list(itertools.chain(*lists))]
        if len(lists) != len(counts):
            raise SpliceError(
                f"{len(lists)} lists of {modality.name} items were given for {len(counts)} prompts"
            )
        for number, (group, count) in enumerate(zip(lists, counts, strict=True)):
            _check_count(f"prompt {number} has", len(group), count, modality, sign)
        return lists
    subject = "prompt 0 has" if len(counts) == 1 else "the prompts have"
    _check_count(subject, len(items), sum(counts), modality, sign)
    rest = iter(items)
    return [[next(rest) for _ in range(count)] for count in counts]


def flat(given: Any, modality: Modality) -> list[Any]:
    """Return all media of an argument, in order."""
    items = modality.items(given)
    return list(itertools.chain(*map(modality.items, items)))


def _is_nested(item: Any, modality: Modality) -> bool:
    inside = modality.items(item)
    return item is None or not (len(inside) == 1 and inside[0] is item)


def _check_count(subject: str, given: int, wanted: int, modality: Modality, sign: str) -> None:
    if given != wanted:
        word = "more" if wanted > given else "fewer"
        raise SpliceError(
            f"{subject} {word} {sign} than {modality.name} items given: {wanted} and {given}"
        )


def read_medium(preparer: Preparer, modality: str, value: Any, rate: int | None) -> Any:
    """Return the item of a medium in any shape that transformers' processors take.

    Beside what the modality itself takes these are the rows of `datasets`, `{"bytes", "path"}`, and
    plain base64: a long text that is no file and has no other meaning.

    Args:
        preparer: the preparer of the model.
        modality: the modality.
        value: the medium.
        rate: the rate of an array without one, in Hz.

    Raises:
        MediaError: it cannot be read.
    """
    if rate is not None and _has_rate(preparer, modality):
        value = _with_rate(value, rate)
    return preparer.read(modality, _unwrapped(value))


def check_rate(preparer: Preparer, rate: int | None) -> None:
    """Raise a RenderError for a rate if no modality has one."""
    if rate is not None and not any(_has_rate(preparer, name) for name in preparer.modalities):
        raise RenderError("no modality of this model has a sampling_rate; leave it out")


def _has_rate(preparer: Preparer, modality: str) -> bool:
    return hasattr(preparer.encoders[modality].example(), "rate")


def _with_rate(value: Any, rate: int) -> Any:
    """Return an array without a rate together with `rate`; other media know their own."""
    is_array = hasattr(value, "ndim")
    is_list = isinstance(value, list | tuple) and len(value) > 2
    return (value, rate) if is_array or is_list else value


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Mapping) and value and not value.keys() - {"bytes", "path"}:
        return value["path"] if value.get("bytes") is None else value["bytes"]
    if isinstance(value, str) and _is_base64(value):
        return f"data:application/octet-stream;base64,{value}"
    return value


def _is_base64(text: str) -> bool:
    """Return whether a text can only be base64."""
    if len(text) < SHORTEST_BASE64 or len(text) % 4 or os.path.lexists(text[:LONGEST_PATH]):
        return False
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True
