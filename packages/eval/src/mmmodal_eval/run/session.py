"""Evaluate several models on the same questions, one after another, and write their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmmodal.authoring.ranks import of_first, rank
from mmmodal_eval.answers.respondent import Respondent
from mmmodal_eval.run.evaluation import Evaluated, Evaluation
from mmmodal_eval.run.writing import write_results

__all__ = ["Named", "evaluate_all"]


@dataclass(frozen=True)
class Named:
    """One model with its name in tables."""

    name: str
    source: str
    """The model as the user named it."""

    respondent: Respondent

    def description(self) -> dict[str, Any]:
        """Return what the model is, as rank 0 finds it."""
        return of_first(self.respondent.identity() if rank() == 0 else {})  # type: ignore[no-any-return]


def evaluate_all(models: Sequence[Named], evaluation: Evaluation, out: Path) -> list[Evaluated]:
    """Return the results of all models, which are written to a folder each as they come.

    On all ranks but the first, nothing is returned or written.

    Args:
        models: the models; all of them are looked at before the first one is asked.
        evaluation: the questions.
        out: the folder for results.

    Raises:
        MMModalError: a model is not there, or cannot be asked.
    """
    identities = [model.description() for model in models]
    found = []
    for model, identity in zip(models, identities, strict=True):
        passes = evaluation.questions.passes(ranks_choices=model.respondent.ranks_choices)
        total = sum(len(each.asked) for each in passes.values())
        with tqdm(total=total, desc=model.name, unit="conversation", disable=rank() != 0) as bar:
            described = {"source": model.source, **identity}
            evaluated = evaluation.run(model.name, described, model.respondent, bar.update)
        if evaluated is not None:
            write_results(out / model.name, evaluated)
            found.append(evaluated)
    return found
