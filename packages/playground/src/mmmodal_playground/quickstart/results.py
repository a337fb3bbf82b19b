"""Compute a quickstart's accuracies, and write its report."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal_playground.parts import part_quality
from mmmodal_playground.quickstart.accuracies import EXCHANGED, accuracies, task_of
from mmmodal_playground.quickstart.report import Shown, write_report
from mmmodal_playground.quickstart.steps import Quickstart, write_json

if TYPE_CHECKING:
    from mmmodal_eval import Evaluated

__all__ = ["results_of"]


def results_of(run: Quickstart) -> dict[str, Any]:
    """Run all steps that are not done yet; write and return the results."""
    run.begin()
    run.make_data()
    run.compose()
    seconds = run.train("align", "start", "aligned") + run.train("instruct", "aligned", "model")
    trained, aligned = run.evaluate("model", [EXCHANGED]), run.evaluate("aligned")
    tasks = accuracies(trained.cases, aligned.cases)
    results = {"tasks": tasks, "seconds": round(seconds, 1), "seed": run.seed}
    write_json(run.out / "results.json", results)
    _report(run, results, trained)
    return results


def _report(run: Quickstart, results: dict[str, Any], trained: Evaluated) -> None:
    """Write the report, with one conversation of each task and language."""
    evaluation = Path("evaluation") / trained.results.name / "report.html"
    write_report(
        run.out / "report.html",
        results=results,
        curves=run.curves(),
        conversations=list(_first_of_each(trained)),
        facts=_facts(run, results),
        quality={part: part_quality(part) for part in ("siglip", "whisper", "llama")},
        command=f"mmmodal chat {run.out / 'model'}",
        evaluation=evaluation.as_posix() if (run.out / evaluation).is_file() else None,
    )


def _first_of_each(trained: Evaluated) -> Iterator[Shown]:
    """Yield the first conversation of each task and language."""
    tasks = {case.record: task_of(case) for case in trained.cases}
    seen: set[str] = set()
    for conversation, replies in trained.replies:
        record = conversation.record
        if (task := tasks[record.id]) not in seen:
            seen.add(task)
            said = [reply.text for reply in replies]
            yield Shown(record.model_dump(), conversation.root, said)


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
