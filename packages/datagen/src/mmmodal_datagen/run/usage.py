"""The usage of models: calls and tokens by model, counted from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmmodal_datagen.rows import Call, Row

__all__ = ["added", "usage_of"]

COUNTS = ("calls", "input_tokens", "output_tokens")
NAMES = ("backend", "model", "revision")

Usage = dict[str, Any]
"""`backend`, `model` and `revision`, with `calls`, `input_tokens` and `output_tokens`."""


def usage_of(rows: Iterable[Row], fingerprint: str) -> list[Usage]:
    """Return the usage of the step with that fingerprint; each call counts once.

    It is counted from the origins of the rows, so that interruptions do not change it.
    """
    calls: dict[str, Call] = {}
    for row in rows:
        if row.origins and row.origins[-1].fingerprint == fingerprint:
            calls.update((call.request_sha256, call) for call in row.origins[-1].calls)
    return added([_one(call)] for call in calls.values())


def added(many: Iterable[Iterable[Mapping[str, Any]]]) -> list[Usage]:
    """Return the sums of counts by model."""
    totals: dict[tuple[str, ...], Usage] = {}
    for each in (usage for some in many for usage in some):
        key = tuple(str(each[name] or "") for name in NAMES)
        total = totals.setdefault(
            key, {name: each[name] for name in NAMES} | dict.fromkeys(COUNTS, 0)
        )
        for name in COUNTS:
            total[name] += each[name]
    return [totals[key] for key in sorted(totals)]


def _one(call: Call) -> Usage:
    return {
        "backend": call.backend,
        "model": call.model,
        "revision": call.revision,
        "calls": 1,
        "input_tokens": call.input_tokens or 0,
        "output_tokens": call.output_tokens or 0,
    }
