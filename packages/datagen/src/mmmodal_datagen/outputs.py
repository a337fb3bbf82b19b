"""Find the rows that a run has made, by the folder that was its `out`, or a step's folder in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mmmodal.errors import ConfigError

__all__ = ["SUMMARY", "Made", "find_made"]

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Made:
    """The rows of a step of a run."""

    root: Path
    """Where the paths of their media begin."""

    files: tuple[Path, ...]


def find_made(folder: Path) -> Made | None:
    """Return the rows of a step; None where no run made the folder.

    Args:
        folder: the `out` of a run, which means its last step, or `steps/NAME` in it.

    Raises:
        ConfigError: the run has not come to its end, or made no rows in this step.
    """
    name = folder.name if folder.parent.name == "steps" else None
    out = (folder if name is None else folder.parent.parent).resolve()
    if not all((out / part).is_dir() for part in ("steps", "calls")):  # a user's may be named so
        return None
    try:
        steps = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
        found = {step["step"]: step for step in steps if step.get("rows")}
        name = name or steps[-1]["step"]
        if name in found:
            files = sorted((out / found[name]["folder"]).glob("part-*.parquet"))
            return Made((out / found[name]["root"]).resolve(), tuple(files))
    except (OSError, ValueError, LookupError, TypeError):
        raise ConfigError("import", [f"{out} was not finished; run it again first"]) from None
    told = ", ".join(found) or "none has any"
    raise ConfigError("import", [f"{name!r} of {out} has no rows; steps that have: {told}"])
