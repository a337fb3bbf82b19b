"""The report of one or several models on the same questions: one HTML file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mmmodal.authoring.files import write_whole
from mmmodal.authoring.media import LimitSettings
from mmmodal.authoring.parts import MMModalError
from mmmodal.authoring.reports import Embedding, brand, fact_rows, page
from mmmodal_eval.cases import Conversation
from mmmodal_eval.comparing.comparison import Comparison
from mmmodal_eval.comparing.evaluations import CASES, RESULTS, Evaluation
from mmmodal_eval.reports.cards import Cards
from mmmodal_eval.reports.confusion import confusions
from mmmodal_eval.reports.differences import difference_tables
from mmmodal_eval.reports.figures import figure_tables, headline
from mmmodal_eval.reports.filters import filters
from mmmodal_eval.reports.looking import looking
from mmmodal_eval.reports.questions import places_of, questions_of, shown_questions
from mmmodal_eval.results import Results

__all__ = ["REPORT", "is_current", "write_report"]

REPORT = "report.html"
"""The name of the report in a folder of results."""

MEDIA_BYTES = 8 * 1024 * 1024
"""The maximum number of bytes of all media of a page."""

SIDE = 240  # pixels of a picture's longer side
LONGEST_S = 30.0  # of a clip

INTROS = {
    "figures": (
        "How right it is",
        "Dots are figures, lines their 95 % intervals. Questions that are not independent are one "
        "cluster.",
    ),
    "looking": (
        "Is it looking, is it listening",
        "The same questions, asked again with media or questions of other conversations, and "
        "without media. A gain is what is lost by it: the figure as asked minus that under the "
        "control, on the same questions.",
    ),
    "comparison": (
        "Which one is better",
        "Differences on the same questions with paired 95 % intervals. Of slices, the probability "
        "is corrected for their number.",
    ),
    "confusion": ("Which choices it confuses", "Only questions with choices."),
    "questions": (
        "What it says",
        "The worst, and as many drawn at random, the same each time.",
    ),
}
"""The sections, with their titles and introductions."""


def write_report(
    path: Path,
    evaluations: Sequence[Evaluation],
    *,
    conversations: Sequence[Conversation] = (),
    comparisons: Sequence[Comparison] = (),
    limits: LimitSettings | None = None,
) -> None:
    """Write the report of models on the same questions, whole or not at all.

    The same results give the same bytes.

    Args:
        path: the HTML file.
        evaluations: the results of the models, at least one.
        conversations: those that were asked, which have the media; without, there are only texts.
        comparisons: the differences of pairs of the models.
        limits: what media may be; by default the modalities' own limits.

    Raises:
        MMModalError: it cannot be written.
    """
    results = [each.results for each in evaluations]
    sections = {
        "figures": figure_tables(evaluations),
        "looking": looking(results),
        "comparison": difference_tables(comparisons),
        "confusion": _pairs(confusions(evaluations)),
        "questions": _questions(evaluations, conversations, limits),
    }
    title = " and ".join(each.name for each in results)
    body = Template(_resource("report.html")).substitute(
        brand=brand(f"MMModal evaluation: {results[0].data.get('path', '')}"),
        headline=headline(results),
        sections="".join(_section(key, "".join(html)) for key, html in sections.items()),
        facts="".join(map(_facts, results)),
        digest=_digest(evaluations),
    )
    look, script = _resource("report.css"), _resource("report.js")
    text = page(f"{title}: evaluated", body, look=look, script=script)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, errors="replace")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MMModalError(f"{path}: the report cannot be written ({reason})") from None


def is_current(path: Path, evaluations: Sequence[Evaluation]) -> bool:
    """Return whether there is a report, and it is of these results."""
    if not path.is_file():
        return False
    named = f'data-results="{_digest(evaluations)}"'
    return named in path.read_text(encoding="utf-8", errors="replace")


def _digest(evaluations: Sequence[Evaluation]) -> str:
    """Return the SHA-256 of the files of all results."""
    digest = hashlib.sha256()
    for each in evaluations:
        for name in (RESULTS, CASES):
            digest.update((each.folder / name).read_bytes())
    return digest.hexdigest()


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _section(key: str, html: str) -> str:
    if not html:
        return ""
    title, about = INTROS[key]
    return (
        f'<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2>'
        f'<p class="intro">{about}</p>{html}</section>'
    )


def _pairs(cards: Iterator[str]) -> str:
    html = "".join(cards)
    return f'<div class="pair">{html}</div>' if html else ""


def _questions(
    evaluations: Sequence[Evaluation],
    conversations: Sequence[Conversation],
    limits: LimitSettings | None,
) -> Iterator[str]:
    """Yield the form of the filter, and the groups of questions."""
    groups = shown_questions(questions_of(evaluations))
    embedding = Embedding(MEDIA_BYTES, SIDE, LONGEST_S)
    known = {(each.where, each.record.id): each for each in conversations}
    cards = Cards(known, embedding, limits, _said(evaluations))
    yield filters(place for some in groups.values() for each in some for place in places_of(each))
    for title, some in groups.items():
        if some:
            drawn = "".join(map(cards.card, some))
            number = f'<span class="tally">{len(some):,}</span>'
            yield f'<h3 class="kind">{escape(title)} {number}</h3><div class="chats">{drawn}</div>'


def _said(evaluations: Sequence[Evaluation]) -> dict[tuple[str, str, int], str]:
    """Return what the only model said in each turn, if it read its own answers."""
    if len(evaluations) > 1 or evaluations[0].results.settings.get("history") != "own":
        return {}
    cases = evaluations[0].cases
    return {(c.where, c.record, c.turn): c.answer for c in cases if c.answer is not None}


def _facts(results: Results) -> str:
    """Return what was evaluated, how, and what scored it."""
    groups = {
        "Model": results.model,
        "Data": {key: value for key, value in results.data.items() if key != "not_changed"},
        "Settings": results.settings,
        "Scorers": results.signatures,
        "Versions": results.versions,
    }
    tables = "".join(
        f"<table><caption>{name}</caption><tbody>{fact_rows(_flat(facts))}</tbody></table>"
        for name, facts in groups.items()
        if facts
    )
    return f'<div><h2 dir="auto">{escape(results.name)}</h2>{tables}</div>'


def _flat(facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in facts.items()
    }
