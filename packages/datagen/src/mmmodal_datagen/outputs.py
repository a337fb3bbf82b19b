"""The rows that a finished run left in its `out`, and the summary that names them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mmmodal.authoring.parts import ConfigError

__all__ = ["SUMMARY", "Made", "find_made"]

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Made:
    """The rows of a step of a run."""

    root: Path
    """The folder that paths of their media are relative to."""

    files: tuple[Path, ...]


def find_made(folder: Path) -> Made | None:
    """Return the rows of a step; None if the folder is not of a run.

    Args:
        folder: the `out` of a run for the rows of its last step, or `steps/NAME` in it.

    Raises:
        ConfigError: the run is not finished, or the step has no rows.
    """
    name = folder.name if folder.parent.name == "steps" else None
    out = (folder if name is None else folder.parent.parent).resolve()
    # Both, as a folder of the user may have the name of one of them.
    if not all((out / part).is_dir() for part in ("steps", "calls")):
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
    known = ", ".join(found) or "none has any"
    raise ConfigError("import", [f"{name!r} of {out} has no rows; steps that have: {known}"])
