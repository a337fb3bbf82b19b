"""Run a quickstart of few conversations, in a process that tests stop."""

from __future__ import annotations

import sys
from pathlib import Path

from forking import redirect

__all__ = ["SMALL", "run_small_quickstart"]

SMALL = {"align": 32, "instruct": 32, "tested": 4}
"""The number of conversations of each step."""


def run_small_quickstart(out: Path, log: Path) -> None:
    """Run all steps and log them to a file; exit with 130 when interrupted."""
    redirect(log)
    from mmmodal_playground.quickstart.results import results_of
    from mmmodal_playground.quickstart.steps import Interrupted, Quickstart, Sizes

    try:
        results_of(Quickstart(out, 0, print, Sizes(**SMALL)))
    except Interrupted as stop:
        print(stop)
        sys.exit(130)
