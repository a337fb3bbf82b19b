"""The report of an evaluation is whole in one file, and whatever was asked or said is text in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from evaluations import case_result, write_evaluation
from mmmodal.authoring.records import Record
from mmmodal_eval.cases import Conversation
from mmmodal_eval.cli.comparing import compare as compare_command
from mmmodal_eval.comparing.comparison import compare
from mmmodal_eval.comparing.evaluations import Evaluation, read_evaluation
from mmmodal_eval.reports.report import is_current, write_report
from mmmodal_eval.results import CaseResult
from mmmodal_eval.statistics.figures import gains
from mmmodal_playground.records import make_records
from pages import Page

VOID = {"circle", "img", "line", "link", "meta", "path", "rect", "use"}
HOSTILE = (
    "</p></script><script>document.title='taken'</script><img src=http://evil/x onerror=f()>\""
)
DATA = {"path": "rows.jsonl", "cases": 60, "conversations": 30, "skipped": 2}


def controls_of(value: float, needs: bool) -> dict[str, Any]:
    """Return what a question came to under controls: without its media, wrong if it needs them."""
    without = 0.0 if needs else value
    result = {"answer": "blue", "outcome": "scored", "counts": (without, 1.0)}
    return {"image exchanged": result, "image left out": result, "question exchanged": result}


def cases_of(records: Sequence[Record], right: int, **about: Any) -> list[CaseResult]:
    """Return two cases of each record, of which one in `right` is wrong."""
    return [
        case_result(
            record.id,
            value := float((2 * index + turn) % right != 0),
            turn=turn,
            where=f"rows.jsonl:{index + 1}",
            lang=record.lang,
            modalities=tuple(sorted({ref.kind for ref in record.media})),
            media=len(record.media),
            tags=("seen",) if index % 2 else ("guessed",),
            controls=controls_of(value, needs=bool(index % 2)),
            digest=f"{index} {turn}",
            **({"answer": "a wrong answer" if not value else "red"} | about),
        )
        for index, record in enumerate(records)
        for turn in range(2)
    ]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Conversation]:
    """Thirty conversations about pictures and clips."""
    root = tmp_path_factory.mktemp("world")
    lines = make_records(root, 30, split="test").read_text(encoding="utf-8").splitlines()
    records = [Record.model_validate_json(line) for line in lines]
    return [
        Conversation(record, root, f"rows.jsonl:{number}")
        for number, record in enumerate(records, start=1)
    ]


def evaluated(folder: Path, cases: Sequence[CaseResult], **about: Any) -> Evaluation:
    """Return an evaluation with those cases, as its files hold it."""
    return read_evaluation(
        write_evaluation(folder, cases, **{"data": DATA, "gains": gains(cases)} | about)
    )


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"), VOID)


def reported(folder: Path, *found: Evaluation, **about: Any) -> Page:
    write_report(folder / "report.html", found, **about)
    return page_of(folder / "report.html")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, asked: list[Conversation]) -> Evaluation:
    """The evaluation of one model."""
    records = [each.record for each in asked]
    return evaluated(tmp_path_factory.mktemp("results") / "better", cases_of(records, 10))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, asked: list[Conversation]) -> Evaluation:
    """That of a worse model."""
    records = [each.record for each in asked]
    return evaluated(tmp_path_factory.mktemp("results") / "worse", cases_of(records, 3))


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory, one: Evaluation, asked: list[Conversation]
) -> Page:
    return reported(tmp_path_factory.mktemp("page"), one, conversations=asked)


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert page.loaded and all(value.startswith(("data:", "#")) for value in page.loaded)
    assert not re.search(r"https?:|@import|url\(", page.text)
    assert len(page.all("script")) == 1
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none';") and "script-src 'sha256-" in policy
    for drawing in re.findall(r"<svg\b(?:(?!<svg\b).)*?</svg>", page.text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_the_headline_has_the_figure_its_interval_and_all_outcomes(
    one: Evaluation, page: Page
) -> None:
    assert '<h1><span class="number">90.0<' in page.text
    whole = one.results.figures[0]
    assert whole.low is not None and whole.high is not None
    assert f"interval: {100 * whole.low:.1f} to {100 * whole.high:.1f} (" in page.said
    for outcome in ("Scored60", "Empty0", "Cut off0", "Failed0", "Unscored0", "Bad rows2"):
        assert outcome in page.said


def test_each_slice_is_a_row_with_a_dot_and_an_interval(one: Evaluation, page: Page) -> None:
    table = page.text.partition('aria-label="Figures by exact"')[2].partition("</table>")[0]
    figures = [each for each in one.results.figures if each.control is None]
    assert table.count('<circle class="value"') == len(figures)
    for title in ("Language", "Modality", "Number of media", "Tag", "Turn, from 0"):
        assert f">{title}</th>" in table
    for figure in figures:
        assert f">{100 * figure.value:.1f}</td>" in table


def test_tables_have_headings_and_media_have_names(page: Page) -> None:
    assert all(tag.get("scope") for tag in page.all("th"))
    assert page.all("img") and all(tag["alt"] for tag in page.all("img"))
    assert page.all("audio")
    assert all("controls" in tag and tag["aria-label"] for tag in page.all("audio"))
    assert all(tag["aria-label"] for tag in page.all("table") if "dots" in tag.get("class", ""))
    assert page.all("html")[0]["lang"] == "en"


def test_it_says_what_is_answered_as_well_without_media(page: Page) -> None:
    finding = page.text.partition('<div class="finding">')[2].partition("</div>")[0]
    assert "guessed +0.0" in finding and "seen" not in finding
    table = page.text.partition("as asked and under controls")[2].partition("</table>")[0]
    names = re.findall(r'class="name" dir="auto">([^<]+)<', table)
    assert names == ["as asked", "image exchanged", "image left out", "question exchanged"]
    assert page.text.count("<details><summary>Gain by exact") == 3


def test_the_worst_and_twenty_random_questions_are_shown_with_both_answers(page: Page) -> None:
    worst, _, random = page.text.partition("At random")
    assert random.count("<article") == 20
    assert worst.count("<article") == 6 == worst.count('class="answered wrong"')
    assert worst.count("a wrong answer") == 6
    assert worst.count("right answer: </span><b") == 6
    assert 0 < random.count('class="answered right"') <= 20
    slices = [json.loads(tag["data-slices"]) for tag in page.all("article")]
    assert all(f"answer={'wrong'}" in each for each in slices[:6])
    assert {"lang=en", "lang=ms"} <= {place for each in slices for place in each}


def test_the_same_results_are_the_same_bytes(
    tmp_path: Path, one: Evaluation, asked: list[Conversation], page: Page
) -> None:
    assert reported(tmp_path, one, conversations=asked).text == page.text


def test_a_report_is_current_until_the_results_change(
    tmp_path: Path, one: Evaluation, other: Evaluation
) -> None:
    path = tmp_path / "report.html"
    assert not is_current(path, [one])
    write_report(path, [one])
    assert is_current(path, [one])
    assert not is_current(path, [other]) and not is_current(path, [one, other])


def test_the_page_of_many_questions_is_small(tmp_path: Path, asked: list[Conversation]) -> None:
    records = [each.record for each in asked] * 80
    cases = cases_of(records, 5)
    many = evaluated(tmp_path / "many", cases)
    write_report(tmp_path / "report.html", [many], conversations=asked)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_several_models_are_compared_in_one_page(
    tmp_path: Path, one: Evaluation, other: Evaluation, asked: list[Conversation]
) -> None:
    found = compare(one.folder, other.folder)
    page = reported(tmp_path, one, other, conversations=asked, comparisons=[found])
    assert page.open == []
    assert "2 models on the same questions" in page.said
    assert "worse compared with better" in page.said
    differences = page.text.partition('id="comparison"')[2].partition("<section")[0]
    assert differences.count('<circle class="value"') == len(found.differences)
    assert found.differences[0].verdict == "worse" and 'class="first worse"' in differences
    apart = page.text.partition("Where the models differ most")[2].partition('<h3 class="kind">')[0]
    assert apart.count("<article") == 20
    assert apart.count('class="answered right"') == apart.count('class="answered wrong"') == 20


def test_a_report_of_two_folders_is_made_from_their_files_alone(
    tmp_path: Path, one: Evaluation, other: Evaluation
) -> None:
    path = tmp_path / "new" / "differences.html"
    words = [str(one.folder), str(other.folder), "--report", str(path)]
    ran = CliRunner().invoke(compare_command, words)
    assert ran.exit_code == 0 and f"Report: {path}" in ran.stderr
    page = page_of(path)
    assert page.open == [] and not page.all("img")
    assert "worse compared with better" in page.said and "What is it?" in page.said


CHOSEN = {"scorer": "choice", "choices": ("red", "blue", "green")}


def test_expected_and_read_choices_are_a_matrix(tmp_path: Path) -> None:
    read = {"A": 5, "B": 3, None: 2}
    cases = [
        case_result(f"{letter} {number}", float(letter == "A"), read=letter, **CHOSEN)
        for letter, count in read.items()
        for number in range(count)
    ]
    page = reported(tmp_path, evaluated(tmp_path / "chosen", cases))
    matrix = page.text.partition('class="matrix"')[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(\d+)</td>", row) for row in matrix.split("<tr>")[2:]]
    assert rows == [["5", "3", "0", "2"], ["0", "0", "0", "0"], ["0", "0", "0", "0"]]
    assert "red" in matrix and "none" in matrix


def test_what_has_no_answer_is_listed_with_its_reason(tmp_path: Path) -> None:
    cases = [case_result("good"), case_result("bad", None, note="a.png: it is damaged")]
    cases.append(case_result("quiet", 0.0, outcome="empty", answer=""))
    page = reported(tmp_path, evaluated(tmp_path / "failed", cases))
    listed = page.text.partition("Without an answer or a score")[2].partition('class="kind"')[0]
    assert listed.count("<article") == 1 and "a.png: it is damaged" in listed
    assert "Failed1" in page.said and "Empty1" in page.said


def test_no_answer_at_all_is_a_page_too(tmp_path: Path) -> None:
    page = reported(tmp_path, evaluated(tmp_path / "none", [case_result("bad", None, note="no")]))
    assert page.open == [] and "No answer was scored" in page.said


def hostile_cases(text: str) -> list[CaseResult]:
    about = {
        "question": text,
        "references": (text,),
        "answer": text,
        "note": text,
        "lang": text,
        "tags": (text, f"{text}2"),
        "read": "B",
        "where": text,
        "modalities": (text,),
        "controls": {
            text: {"answer": text, "outcome": "scored", "counts": (1.0, 1.0), "note": text}
        },
    }
    chosen = {"scorer": "choice", "choices": (text, "b")}
    plain = [case_result(f"{text} {n}", float(n % 2), **about) for n in range(8)]
    named = {"references": ("b",), "read": "B"}
    return plain + [case_result(f"{text} c{n}", 1.0, **(about | chosen | named)) for n in range(8)]


def hostile_page(folder: Path, text: str) -> Page:
    cases = hostile_cases(text)
    asked = {"data": DATA | {"path": text, "not_changed": {text: {text: 3}}}}
    about = {"name": text, "model": {text: text}, "signatures": {"exact": text}} | asked
    folder.mkdir()
    return reported(folder, evaluated(folder / "results", cases, **about))


@pytest.mark.parametrize("text", [HOSTILE, "&lt;b&gt;", "'><svg onload=f()>", "$body ${x} %s {0}"])
def test_markup_in_what_is_asked_and_said_is_text(tmp_path: Path, text: str) -> None:
    harmless = hostile_page(tmp_path / "harmless", "plain")
    page = hostile_page(tmp_path / "hostile", text)
    assert page.open == []
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert not any(name.startswith("on") for _, tag in page.tags for name in tag)
    assert text in page.said


def test_names_of_media_are_text_and_what_is_no_medium_is_not_shown(
    tmp_path: Path, asked: list[Conversation]
) -> None:
    (tmp_path / "page.png").write_text("<script>alert(1)</script>")
    about = next(each for each in asked if each.record.media[0].kind == "image")
    refs = list(about.record.model_dump()["media"])
    for name in ("page.png", "<b>.png", "https://evil.example/x.png", "../../../etc/passwd"):
        refs[0] = refs[0] | {"uri": name, "sha256": None}
        record = Record.model_validate(about.record.model_dump() | {"media": refs})
        cases = [case_result(record.id, 0.0, where=about.where, modalities=("image",), media=1)]
        found = evaluated(tmp_path / "results", cases)
        page = reported(
            tmp_path, found, conversations=[replace(about, record=record, root=tmp_path)]
        )
        assert page.open == [] and not page.all("img") and "<b>.png" not in page.text
        assert '<p class="missing" dir="auto">' in page.text and "root:" not in page.text


def test_half_a_character_does_not_lose_the_report(tmp_path: Path) -> None:
    cases = [case_result("odd", 0.0, answer="odd \ud83d answer")]
    found = replace(evaluated(tmp_path / "results", [case_result()]), cases=tuple(cases))
    assert "odd ? answer" in reported(tmp_path, found).text


def test_long_texts_are_cut_and_counted(tmp_path: Path) -> None:
    cases = [case_result("long", 0.0, answer="yes " * 5_000)]
    page = reported(tmp_path, evaluated(tmp_path / "results", cases))
    assert "(20,000 characters)" in page.said and len(page.text) < 100_000


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no browser is installed")
def test_a_browser_filters_the_questions_and_runs_nothing_else(tmp_path: Path, page: Page) -> None:
    hostile = hostile_page(tmp_path / "hostile", HOSTILE)
    (tmp_path / "hostile.html").write_text(hostile.text, encoding="utf-8")
    (tmp_path / "page.html").write_text(page.text, encoding="utf-8")
    shown = opened(tmp_path, tmp_path / "page.html")
    assert '<form id="filter" class="filters" aria-label' in shown  # the script has shown it
    assert f"{len(page.all('article'))} of {len(page.all('article'))} shown</output>" in shown
    taken = opened(tmp_path, tmp_path / "hostile.html")
    assert "<title>taken" not in taken and taken.count("<script") == 1


def opened(folder: Path, path: Path) -> str:
    """Return the document of a page as a browser has it."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    return subprocess.run(
        [*command, f"--user-data-dir={folder / 'browser'}", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
