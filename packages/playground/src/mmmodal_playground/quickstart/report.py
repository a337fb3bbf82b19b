"""A quickstart's report: one HTML file that loads no other files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from string import Template
from typing import Any

from mmmodal.authoring.files import write_whole
from mmmodal.authoring.reports import Embedding, brand, fact_rows, figure_list, loss_chart, page
from mmmodal_playground.quickstart.report_charts import TARGET, accuracy_scale, mark, row_chart
from mmmodal_playground.quickstart.report_chats import (
    Shown,
    chat_card,
    icon,
    language_name,
    task_name,
)

__all__ = ["Shown", "write_report"]

MEASURES = {
    "accuracy": (
        "Accuracy",
        "the share of questions that it answers right, after both stages, with its 95 % interval",
    ),
    "stage1": ("Stage 1 only", "the model after align, before it was taught to converse"),
    "majority": ("Majority", "always giving the most frequent answer to each kind of question"),
    "shuffled": ("Shuffled", "the same questions about another conversation’s media"),
}
"""The columns, with their titles and meanings."""

STAGES = {
    "align": ("Stage 1: align", "The projectors learn to show the language model what is there."),
    "instruct": ("Stage 2: instruct", "Projectors and language model learn to converse about it."),
}
Row = Mapping[str, float]


def write_report(
    path: Path,
    *,
    results: Mapping[str, Any],
    curves: Mapping[str, Iterable[Mapping[str, Any]]],
    conversations: Sequence[Shown],
    facts: Mapping[str, str],
    quality: Mapping[str, Mapping[str, float]],
    command: str,
    evaluation: str | None = None,
) -> None:
    """Write the report to `path`, whole or not at all.

    Args:
        path: the HTML file.
        results: `tasks`, each with its accuracy and the baselines; and `seconds`.
        curves: the logs of each stage.
        conversations: the questions with the model's answers.
        facts: further facts, in order.
        quality: the measured quality of each part of the model.
        command: the command to chat with the model.
        evaluation: the address of the report of the evaluation, which has more figures and all
            kinds of answers; None: there is none.

    Raises:
        MediaError: a conversation's medium cannot be read.
    """
    tasks: Mapping[str, Row] = results["tasks"]
    embedding = Embedding()
    body = Template(_resource("report.html")).substitute(
        brand=brand("MMModal quickstart"),
        headline=_headline(tasks, float(results["seconds"])),
        legend=_legend(),
        scale=accuracy_scale(),
        rows=_rows(tasks),
        evaluation=_evaluation(evaluation),
        mean=_mean_row(tasks),
        curves="".join(_curve(stage, curves.get(stage, ())) for stage in STAGES),
        conversations="".join(chat_card(shown, embedding) for shown in conversations),
        command=escape(command),
        facts=fact_rows(facts),
        quality="".join(_quality(part, measured) for part, measured in quality.items()),
    )
    look = _resource("report.css")
    write_whole(path, page("MMModal quickstart", body, look=look), errors="replace")


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _headline(tasks: Mapping[str, Row], seconds: float) -> str:
    if not tasks:
        return "<h1>No questions were asked</h1>"
    worst = min(tasks, key=lambda name: tasks[name]["accuracy"])
    questions = sum(int(row["n"]) for row in tasks.values())
    conversations = sum(int(row["conversations"]) for row in tasks.values())
    mean = fmean(row["accuracy"] for row in tasks.values())
    lowest = tasks[worst]["accuracy"]
    figures = {
        "Hardest task": f"{_percent(lowest)}&thinsp;%<small>{_full_name(worst)}</small>",
        "Trained in": f"{_duration(seconds)}<small>both stages</small>",
        "Asked": f"{questions:,} questions<small>in {conversations:,} conversations</small>",
    }
    return (
        f'<h1><span class="number">{_percent(mean)}<span class="sign">%</span></span> '
        "of the answers are right</h1>"
        '<p class="lead">A tiny SigLIP, a tiny Whisper and a tiny Llama were joined into one model '
        "and trained in two stages to talk about pictures and spoken phrases, in English and "
        "Malay. Then it was asked about pictures and phrases that were held out; the number is the "
        f"mean over {len(tasks)} tasks.</p>"
        f"{figure_list(figures)}"
    )


def _evaluation(address: str | None) -> str:
    if address is None:
        return ""
    link = f'<a href="{escape(address)}">the report of the evaluation</a>'
    return f'<p class="intro">More figures, and where the answers come from: {link}.</p>'


def _legend() -> str:
    meanings = (
        f"<li>{mark(measure)}<span><b>{name}</b> {meaning}</span></li>"
        for measure, (name, meaning) in MEASURES.items()
    )
    return "".join(meanings)


def _rows(tasks: Mapping[str, Row]) -> str:
    drawn, before = [], None
    for name, row in tasks.items():
        task, _, code = name.rpartition("-")
        kind = "row" if task == before else "row first"
        drawn.append(_row(name, f"{icon(task)}{escape(task_name(task))}", code, row, kind))
        before = task
    return "".join(drawn)


def _row(name: str, head: str, code: str, row: Row, kind: str) -> str:
    low = row["accuracy"] < TARGET
    interval = _interval(row)
    warning = f'<span class="below">below {100 * TARGET:.0f}</span>' if low else ""
    cells = "".join(
        f'<td role="cell" class="number {measure}" data-name="{title}">'
        f"{warning if measure == 'accuracy' else ''}{_percent(row[measure])}"
        f"{interval if measure == 'accuracy' else ''}</td>"
        for measure, (title, _) in MEASURES.items()
    )
    return (
        f'<tr role="row" class="{kind}{" low" if low else ""}" data-task="{escape(name)}">'
        f'<th role="rowheader" scope="row">{head}</th>'
        f'<td role="cell" class="language">{escape(language_name(code))}</td>'
        f'<td role="cell" class="chart">{row_chart(row)}</td>{cells}'
        f'<td role="cell" class="number n" data-name="Questions">{int(row["n"]):,}</td></tr>'
    )


def _interval(row: Row) -> str:
    """Return the interval of the accuracy as the chart shows it, for those who do not see it."""
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return ""
    return f'<span class="unseen">, between {_percent(low)} and {_percent(high)}</span>'


def _mean_row(tasks: Mapping[str, Row]) -> str:
    if not tasks:
        return ""
    means = {name: fmean(row[name] for row in tasks.values()) for name in MEASURES}
    means["n"] = sum(row["n"] for row in tasks.values())
    return _row("mean", "Mean of all", "", means, "row first")


def _curve(stage: str, rows: Iterable[Mapping[str, Any]]) -> str:
    title, meaning = STAGES[stage]
    return (
        f'<figure class="card"><figcaption><h3>{title}</h3><p>{meaning}</p></figcaption>'
        f"{loss_chart(rows, title)}</figure>"
    )


def _quality(part: str, measured: Mapping[str, float]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("-", " "))}</th>'
        f'<td class="number">{_percent(value)}</td></tr>'
        for name, value in measured.items()
    )
    return f"<table><caption>{escape(part)}</caption><tbody>{rows}</tbody></table>"


def _full_name(name: str) -> str:
    task, _, code = name.rpartition("-")
    return escape(f"{task_name(task)}, {language_name(code)}")


def _percent(share: float) -> str:
    """Return a share in percent, rounded down, so that it never looks better than it is."""
    return f"{math.floor(1000 * share + 1e-6) / 10:.1f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}&thinsp;s"
    return f"{minutes}&thinsp;min {rest}&thinsp;s"
