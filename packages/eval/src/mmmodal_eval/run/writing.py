"""The files of results: `results.json`, `cases.jsonl` and `timing.json` in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from mmmodal.authoring.files import write_whole
from mmmodal.authoring.parts import MMModalError
from mmmodal_eval.run.evaluation import Evaluated

__all__ = ["write_results"]


def write_results(folder: Path, evaluated: Evaluated) -> None:
    """Write the results of a model, each file whole; equal results are equal bytes.

    How long it took is in a file of its own, as it is another time each time.

    Raises:
        MMModalError: a file cannot be written.
    """
    timing = {"seconds": round(evaluated.seconds, 3), "conversations_asked": evaluated.asked}
    lines = [json.dumps(c.model_dump(mode="json"), ensure_ascii=False) for c in evaluated.cases]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "timing.json", json.dumps(timing, indent=1))
        _write(folder / "cases.jsonl", "\n".join(lines))
        results = evaluated.results.model_dump(mode="json")
        _write(folder / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MMModalError(f"{folder}: results cannot be written ({reason})") from None


def _write(path: Path, text: str) -> None:
    write_whole(path, f"{text}\n", errors="replace")
