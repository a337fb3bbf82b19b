"""The files of a finished evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mmmodal.authoring.parts import MMModalError, RecordError
from mmmodal_eval.results import CaseResult, Results

__all__ = ["Evaluation", "read_evaluation"]

RESULTS, CASES = "results.json", "cases.jsonl"
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Evaluation:
    """One model's results on one data set, with its cases."""

    folder: Path
    results: Results
    cases: tuple[CaseResult, ...]


def read_evaluation(folder: Path) -> Evaluation:
    """Return the evaluation in a folder, or the only one in the folders below it.

    Raises:
        MMModalError: there is none, or there are several; or it is not finished.
        RecordError: a file or a line of it is not as an evaluation writes it.
    """
    folder = _folder_of_one(folder)
    path, lines = folder / RESULTS, folder / CASES
    if not lines.is_file():
        raise MMModalError(f"{folder} has {RESULTS} and no {CASES}; evaluate the model again")
    results = _validated(Results, path.read_bytes(), str(path))
    return Evaluation(folder, results, tuple(_cases(lines)))


def _folder_of_one(folder: Path) -> Path:
    if (folder / RESULTS).is_file():
        return folder
    if not folder.is_dir():
        raise MMModalError(f"there is no folder {folder}; name the `--out` of an evaluation")
    if (folder / CASES).is_file():
        raise MMModalError(f"the evaluation in {folder} is not finished; run its command again")
    found = sorted(path.parent for path in folder.glob(f"*/{RESULTS}"))
    if len(found) > 1:
        names = ", ".join(str(each) for each in found)
        raise MMModalError(f"{folder} has results of several models; name one of them: {names}")
    if not found:
        raise MMModalError(
            f"{folder} has no {RESULTS}; name the `--out` of an evaluation, or one model's folder"
        )
    return found[0]


def _cases(path: Path) -> Iterator[CaseResult]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield _validated(CaseResult, line, f"{path}:{number}")


def _validated(model: type[M], text: bytes, where: str) -> M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise RecordError(where, f"{reason}; evaluate the model again") from None
