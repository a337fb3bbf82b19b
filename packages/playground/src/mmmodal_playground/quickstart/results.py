"""Compute a quickstart's accuracies, and write its report."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mmmodal_playground.parts import part_quality
from mmmodal_playground.quickstart.report import Shown, write_report
from mmmodal_playground.quickstart.scoring import accuracies, majorities, task_of
from mmmodal_playground.quickstart.steps import Quickstart, write_json

if TYPE_CHECKING:
    from mmmodal.authoring.records import Record

__all__ = ["results_of"]


def results_of(run: Quickstart) -> dict[str, Any]:
    """Run all steps that are not done yet; write and return the results."""
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
    _report(run, results, records, answers["accuracy"])
    return results


def _report(
    run: Quickstart, results: dict[str, Any], records: list[Record], answers: list[list[str]]
) -> None:
    """Write the report, with one dialogue of each task and language."""
    root = run.out / "data" / "test"
    firsts = {task_of(record): index for index, record in reversed([*enumerate(records)])}
    write_report(
        run.out / "report.html",
        results=results,
        curves=run.curves(),
        conversations=[
            Shown(records[index].model_dump(), root, answers[index])
            for index in sorted(firsts.values())
        ],
        facts=_facts(run, results),
        quality={part: part_quality(part) for part in ("siglip", "whisper", "llama")},
        command=f"mmmodal chat {run.out / 'model'}",
    )


def _facts(run: Quickstart, results: dict[str, Any]) -> dict[str, str]:
    sizes = run.sizes
    versions = {name: version(name) for name in ("mmmodal-core", "torch", "transformers")}
    return {
        "Parts": "playground-siglip, playground-whisper, playground-llama",
        "Trained on": f"{sizes.align:,} conversations (align), {sizes.instruct:,} (instruct)",
        "Trained for": f"{results['seconds']:.0f} s",
        "Asked": f"{sizes.tested:,} held-out conversations of each task and language",
        "Seed": str(run.seed),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }
