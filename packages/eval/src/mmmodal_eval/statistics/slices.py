"""Slices: the cases that have a language, a kind of medium, a tag … in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmodal_eval.results import CaseResult

__all__ = ["SLICES", "Slice", "Slicing", "slices_of"]

Slicing = Mapping[str, Callable[[CaseResult], Sequence[str]]]
Slice = tuple[dict[str, str], NDArray[np.int64]]
"""What cases have in common, and their indices."""

SLICES: Slicing = {
    "lang": lambda case: (case.lang,) if case.lang else (),
    "modality": lambda case: ("+".join(case.modalities) or "text",),
    "media": lambda case: (str(case.media),),
    "tag": lambda case: tuple(dict.fromkeys(case.tags)),
    "turn": lambda case: (str(case.turn),),
    "outcome": lambda case: (case.outcome,),
}
"""By what cases are sliced: the values of each case, of which tags may be several or none."""


def slices_of(cases: Sequence[CaseResult], slices: Slicing = SLICES) -> list[Slice]:
    """Return all cases, and each slice of them; one that holds all cases is left out."""
    whole: Any = np.arange(len(cases))
    found: list[Slice] = [({}, whole)]
    for key, values_of in slices.items():
        members: dict[str, list[int]] = {}
        for index, case in enumerate(cases):
            for value in values_of(case):
                members.setdefault(value, []).append(index)
        found += [
            ({key: value}, np.asarray(members[value], dtype=np.int64))
            for value in sorted(members, key=_numbers_first)
            if len(members[value]) < len(cases)
        ]
    return found


def _numbers_first(value: str) -> tuple[bool, int, str]:
    """Return what sorts numbers by size, before texts."""
    return (False, int(value), "") if value.isdecimal() else (True, 0, value)
