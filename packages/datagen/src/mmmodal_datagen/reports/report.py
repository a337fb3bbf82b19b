"""The report of a run: one HTML file that contains everything and loads nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml

from mmmodal.authoring.parts import without_password
from mmmodal.authoring.reports import (
    Embedding,
    bars,
    brand,
    card,
    duration,
    fact_rows,
    figure_list,
    histogram,
    page,
)
from mmmodal_datagen.contracts import Completion, ShardFile
from mmmodal_datagen.files import publish_bytes
from mmmodal_datagen.pipeline import Pipeline, build_backend, resolve
from mmmodal_datagen.reports.conversations import row_card
from mmmodal_datagen.reports.samples import COLUMNS, Measured, cells_of, measure, spread_rows
from mmmodal_datagen.run.runner import StepOutcome

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"
"""The name of the report in a pipeline's `out`."""

SHOWN = 20  # rows
MEASURED = 20_000
"""The number of rows that are measured; the page states it if there are more rows."""

PACKAGES = (
    "mmmodal-datagen",
    "mmmodal-core",
    "faster-whisper",
    "openai",
    "openai-whisper",
    "pyarrow",
    "ray",
    "torch",
    "transformers",
)


def write_report(pipeline: Pipeline, outcomes: Sequence[StepOutcome]) -> Path:
    """Write the report of a run to `out`, whole or not at all, and return the path.

    If the run found everything finished, an existing report is kept: it describes the run that did
    the work.

    Raises:
        StopRun: the disk is full.
    """
    path = pipeline.out / REPORT
    if path.is_file() and not any(outcome.done for outcome in outcomes):
        return path
    results = results_of(pipeline, outcomes)
    made = [file for outcome in results for file in outcome.files]
    title = pipeline.out.name or str(pipeline.out)
    body = Template(_resource("report.html")).substitute(
        brand=brand(f"MMModal data: {title}"),
        headline=_headline(pipeline, outcomes, results),
        steps="".join(_step_row(outcome, outcomes) for outcome in outcomes),
        refused="".join(_refused(outcomes)) or '<p class="intro">None was.</p>',
        measured=_intro(results),
        plots="".join(_plots(measure(cells_of(made, COLUMNS, MEASURED)))),
        rows="".join(_cards(pipeline, [outcome.files for outcome in results])),
        models="".join(_model_rows(pipeline, outcomes)),
        facts=fact_rows(_facts()),
        pipeline=escape(_pipeline_text(pipeline)),
    )
    made_page = page(f"{title}: how it was made", body, look=_resource("report.css"))
    publish_bytes(made_page.encode("utf-8", "replace"), path)
    return path


def results_of(pipeline: Pipeline, outcomes: Sequence[StepOutcome]) -> list[StepOutcome]:
    """Return the outcomes of the exported steps, or that of the last step with rows."""
    exported = {
        source
        for step in resolve(pipeline)
        if step.generator.name == "export"
        for source in step.inputs
    }
    made = [outcome for outcome in outcomes if outcome.rows]
    return [outcome for outcome in made if outcome.step in exported] or made[-1:]


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _headline(
    pipeline: Pipeline, outcomes: Sequence[StepOutcome], results: Sequence[StepOutcome]
) -> str:
    rows = sum(outcome.rows for outcome in results)
    rejected = sum(outcome.rejected for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    usage = [each for outcome in outcomes for each in outcome.usage]
    tokens = sum(each["input_tokens"] + each["output_tokens"] for each in usage)
    cost = sum(
        _cost(pipeline, outcome.step, each) for outcome in outcomes for each in outcome.usage
    )
    figures = {
        "Rejected": f"{rejected:,}<small>in all steps</small>",
        "Failed": f"{failed:,}<small>tried again next time</small>",
        "Calls": f"{sum(each['calls'] for each in usage):,}<small>to models</small>",
        "Tokens": f"{tokens:,}<small>read and written</small>",
        "Cost": f"{cost:,.2f}<small>by the prices given</small>" if cost else "–",
        "Took": f"{duration(sum(each.seconds for each in outcomes), 1)}<small>this run</small>",
    }
    names = escape(" and ".join(outcome.step for outcome in results)) or "no step"
    return (
        f'<h1><span class="number">{rows:,}</span> rows out of {names}</h1>{figure_list(figures)}'
    )


def _step_row(outcome: StepOutcome, outcomes: Sequence[StepOutcome]) -> str:
    most = max(each.rows for each in outcomes) or 1
    counts = (outcome.rows, outcome.rejected, outcome.failed)
    cells = "".join(f'<td class="number">{count:,}</td>' for count in counts)
    notes = ", ".join(f"{name.replace('_', ' ')} {_said(v)}" for name, v in outcome.notes.items())
    seconds = duration(outcome.seconds, 1) if outcome.done else "–"
    return (
        f'<tr><th scope="row">{escape(outcome.step)}</th><td class="chart">'
        f'<svg aria-hidden="true"><rect width="{100 * outcome.rows / most:.2f}%" height="100%" '
        f'rx="3"/></svg></td>{cells}'
        f'<td class="number">{outcome.done:,} of {len(outcome.files):,}</td>'
        f'<td class="number">{seconds}</td><td class="notes">{escape(notes)}</td></tr>'
    )


def _said(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _refused(outcomes: Sequence[StepOutcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.reasons:
            about = f"{outcome.rejected:,} rejected, {outcome.failed:,} failed"
            yield card(outcome.step, about, bars(outcome.reasons))


def _intro(results: Sequence[StepOutcome]) -> str:
    rows = sum(outcome.rows for outcome in results)
    names = " and ".join(outcome.step for outcome in results)
    part = f", about {MEASURED:,} of them, spread over all" if rows > MEASURED else ""
    return escape(f"The {rows:,} rows of {names}{part}." if results else "There are no rows.")


def _plots(found: Measured) -> Iterator[str]:
    yield card("Languages", "Rows by the languages of their texts.", bars(found.languages))
    yield card("Kinds", "Rows by what they are about.", bars(found.kinds))
    yield card("Media", "Rows by how many media they have.", bars(found.media))
    if found.relations:
        yield card("Relations", "Rows by how their media are related.", bars(found.relations))
    lengths = {
        "Questions": ("Words of what the user says.", found.questions, "words"),
        "Answers": ("Words of what the assistant says.", found.answers, "words"),
        "Turns": ("Of both together, by row.", found.turns, "turns"),
    }
    for title, (about, values, unit) in lengths.items():
        yield card(title, about, histogram(values, title, unit))


def _cards(pipeline: Pipeline, sources: Sequence[Sequence[ShardFile]]) -> Iterator[str]:
    embedding = Embedding()
    for row in spread_rows(sources, SHOWN):
        yield row_card(row, embedding, pipeline.root)


def _model_rows(pipeline: Pipeline, outcomes: Sequence[StepOutcome]) -> Iterator[str]:
    for outcome in outcomes:
        for each in outcome.usage:
            revision = f" ({each['revision']})" if each["revision"] else ""
            cost = _cost(pipeline, outcome.step, each)
            counts = (each["calls"], each["input_tokens"], each["output_tokens"])
            cells = "".join(f'<td class="number">{count:,}</td>' for count in counts)
            yield (
                f'<tr><th scope="row">{escape(each["model"] + revision)}</th>'
                f"<td>{escape(outcome.step)}, by {escape(each['backend'])}</td>{cells}"
                f'<td class="number">{f"{cost:,.4g}" if cost else "–"}</td></tr>'
            )


def _cost(pipeline: Pipeline, step: str, usage: Mapping[str, Any]) -> float:
    """Return the cost of calls by the prices of the step's backend."""
    planned = next(each for each in resolve(pipeline) if each.name == step)
    entry = pipeline.backends.get(planned.models.get("language_model", ""))
    if entry is None or entry.name != usage["backend"]:
        return 0.0
    tokens = {name: usage[name] for name in ("input_tokens", "output_tokens")}
    whole = Completion(text="", finish_reason="stop", model=usage["model"], **tokens)
    return float(build_backend(entry).cost(whole))


def _facts() -> dict[str, str]:
    found = {
        "Written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _pipeline_text(pipeline: Pipeline) -> str:
    values = pipeline.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return without_password(str(text))
