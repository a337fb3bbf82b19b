"""A report of data files: one HTML file that loads no other files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from mmmodal.errors import RecordError
from mmmodal.files import write_whole
from mmmodal.records.statistics import Statistics
from mmmodal.reports.counts import bars, histogram
from mmmodal.reports.pieces import card, fact_rows, figure_list, page

__all__ = ["write_report"]

LOOK = """
section > .card { margin-top: 16px; padding: 8px 20px; overflow-x: auto; }
.facts { width: 100%; border-collapse: collapse; font-size: 15px; }
.facts th, .facts td { padding: 8px 0; text-align: left; font-weight: 400; }
.facts th, .facts td { overflow-wrap: anywhere; }
.facts th { padding-right: 16px; }
"""


def write_report(
    path: Path, statistics: Statistics, files: Mapping[str, int], duplicates: Mapping[str, Any]
) -> None:
    """Write the report of some files, whole or not at all.

    Args:
        path: the report.
        statistics: of the records of all files.
        files: the number of records of each file.
        duplicates: the summary of `Duplicates`.

    Raises:
        RecordError: it cannot be written.
    """
    titled = ", ".join(Path(name).name for name in files)
    body = (
        f"<main><header>{_headline(statistics, duplicates)}</header>"
        f'<section><h2>What it holds</h2><div class="pair">{"".join(_cards(statistics, files))}'
        f"</div></section><section><h2>Media with the same bytes</h2>{_shared(duplicates)}"
        "</section></main>"
    )
    try:
        write_whole(path, page(f"{titled}: what it holds", body, look=LOOK))
    except OSError as error:
        raise RecordError(str(path), f"it cannot be written ({error.strerror})") from None


def _headline(statistics: Statistics, duplicates: Mapping[str, Any]) -> str:
    between = sum(pair["media"] for pair in duplicates["between"])
    figures = {"Distinct media": f"{duplicates['distinct']:,}"}
    if duplicates["between"]:
        figures["In several files"] = f"{between:,}"
    if duplicates["unread"]:
        figures["Not readable"] = f"{duplicates['unread']:,}<small>see data check</small>"
    records = statistics.records
    word = "record" if records == 1 else "records"
    return f'<h1><span class="number">{records:,}</span> {word}</h1>{figure_list(figures)}'


def _cards(statistics: Statistics, files: Mapping[str, int]) -> Iterator[str]:
    if len(files) > 1:
        yield card("Files", "Records of each file.", bars(files))
    yield card("Languages", "Records by their language.", bars(statistics.languages))
    turns = histogram(statistics.turns, "Turns", "turns")
    yield card("Turns", "Records by their number of turns.", turns)
    for kind, sizes in sorted(statistics.media.items()):
        drawn = histogram(sizes, f"Media of kind {kind}", "media")
        yield card(f"Media: {kind}", "Records by their number of media.", drawn)
    for role, sizes in sorted(statistics.characters.items()):
        drawn = histogram(sizes, f"Turns of {role}", "characters")
        yield card(f"Length: {role}", "Turns by their number of characters.", drawn)


def _shared(duplicates: Mapping[str, Any]) -> str:
    facts = {
        f"in several records of {name}": f"{number:,}"
        for name, number in duplicates["within"].items()
    }
    for pair in duplicates["between"]:
        examples = "; ".join(f"{one} = {other}" for one, other in pair["examples"])
        shown = f" ({examples})" if examples else ""
        facts[f"in {' and '.join(pair['files'])}"] = f"{pair['media']:,}{shown}"
    about = "A picture or clip that is trained on and tested on makes a test say too much."
    return (
        f'<p class="intro">{escape(about)}</p><div class="card"><table class="facts"><tbody>'
        f"{fact_rows(facts)}</tbody></table></div>"
    )
