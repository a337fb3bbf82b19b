"""Time several ways of the same work alternately in one process, and print the table."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Result", "race", "seconds_of", "show", "write"]

Result = dict[str, dict[str, float]]
"""Figures by row and column."""


def seconds_of(way: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    """Return the processor time: the work has one thread, and other processes do not count.

    Work of several threads has another clock, and is alone on its machine.
    """
    start = clock()
    way()
    return clock() - start


def race(
    ways: Mapping[str, Callable[[], Any]],
    runs: int,
    *,
    items: int | None = None,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Return the median time of each way, run alternately, and its ratio to that of the first.

    Medians are in milliseconds, or in items per second if `items` is the number of items of a run.
    """
    for way in ways.values():
        way()
    laps = [{name: seconds_of(way, clock) for name, way in ways.items()} for _ in range(runs)]
    medians = {name: statistics.median(lap[name] for lap in laps) for name in ways}
    if items is None:
        result = {f"{name}_ms": 1000 * median for name, median in medians.items()}
    else:
        result = {f"{name}_per_s": items / median for name, median in medians.items()}
    first, *others = ways
    for name in others:
        result[f"{name}_ratio"] = statistics.median(lap[name] / lap[first] for lap in laps)
    return result


def show(title: str, results: Result) -> None:
    """Print a table."""
    columns = list(next(iter(results.values())))
    widths = [max(8, len(column)) + 2 for column in columns]
    print(f"\n{title}\n{'':<20}" + "".join(map(str.rjust, columns, widths)))
    for name, row in results.items():
        cells = (
            f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" for value in row.values()
        )
        print(f"{name:<20}" + "".join(map(str.rjust, cells, widths)))


def write(path: Path, results: Any) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
