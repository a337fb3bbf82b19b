"""The report that `mmmodal evaluate` writes: where it is, and when it is written again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., tuple[int, str, str]]
SHORT = ("--max-new-tokens", 3, "--no-controls")


def test_a_model_has_a_report_beside_its_results(evaluate: Run, data: Path, start: Path) -> None:
    path = Path("evaluation") / start.name / "report.html"
    code, _, err = evaluate(start, data, *SHORT, "--no-report")
    assert code == 0 and not path.exists() and "Report" not in err
    code, _, err = evaluate(start, data, *SHORT)
    assert code == 0 and f"Report: {path}" in err
    page = path.read_text(encoding="utf-8")
    assert page.count("<img") >= 8 and page.count("<audio") >= 4


def test_the_report_is_written_again_only_if_the_results_changed(
    evaluate: Run, data: Path, start: Path
) -> None:
    path = Path("evaluation") / start.name / "report.html"
    evaluate(start, data, *SHORT)
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert f"Report: {path}" in evaluate(start, data, *SHORT)[2]
    assert path.stat().st_mtime_ns == written
    path.unlink()
    evaluate(start, data, *SHORT)
    assert path.read_bytes() == before
    evaluate(start, data, *SHORT, "--scorer", "contains")
    assert path.read_bytes() != before


def test_several_models_share_a_report_with_their_differences(
    evaluate: Run, data: Path, start: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(start, tmp_path / "another")
    code, _, err = evaluate(start, other, data, *SHORT)
    path = Path("evaluation") / "report.html"
    assert code == 0 and f"Report: {path}" in err, err
    assert f"another compared with {start.name}" in path.read_text(encoding="utf-8")
    assert not (Path("evaluation") / start.name / "report.html").exists()


def test_a_report_that_cannot_be_written_is_one_error_and_the_results_stay(
    evaluate: Run, data: Path, start: Path
) -> None:
    (Path("evaluation") / start.name / "report.html").mkdir(parents=True)
    code, out, err = evaluate(start, data, *SHORT)
    assert code == 1 and "report cannot be written" in err and "16 answers" in out
    assert (Path("evaluation") / start.name / "results.json").exists()
