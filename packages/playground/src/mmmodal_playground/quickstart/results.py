"""From a quickstart's steps to its accuracies and its report."""

from __future__ import annotations

from typing import Any

from mmmodal_playground.quickstart.scoring import accuracies, majorities
from mmmodal_playground.quickstart.steps import Quickstart, write_json

__all__ = ["results_of"]


def results_of(run: Quickstart) -> dict[str, Any]:
    """Go through all steps that are not done yet; write and return the results."""
    run.begin()
    run.make_data()
    run.compose()
    seconds = run.train("align", "start", "aligned") + run.train("instruct", "aligned", "model")
    answers = {
        "accuracy": run.evaluate("model", "model"),
        "shuffled": run.evaluate("shuffled", "model", shuffled=True),
        "stage1": run.evaluate("aligned", "aligned"),
    }
    records = run.tested()
    measured = {name: accuracies(records, said) for name, said in answers.items()}
    tasks = {
        task: {
            "accuracy": measured["accuracy"][task],
            "n": questions,
            "conversations": conversations,
            "majority": majority,
            "shuffled": measured["shuffled"][task],
            "stage1": measured["stage1"][task],
        }
        for task, (majority, questions, conversations) in majorities(records).items()
    }
    results = {"tasks": tasks, "seconds": round(seconds, 1), "seed": run.seed}
    write_json(run.out / "results.json", results)
    _report(run, results, answers["accuracy"])
    return results


def _report(run: Quickstart, results: dict[str, Any], answers: list[list[str]]) -> None: ...
