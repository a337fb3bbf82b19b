"""The README's section on evaluation: its lines, run in their order on a small quickstart's files."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from language_server import serving
from mmmodal.cli.main import run
from mmmodal_playground.records import make_records
from worlds import ROOT, read_lines

ENDPOINT = "http://localhost:8000/v1"
FEW = {
    "evaluate": ["--max-new-tokens", "3"],
    "train": ["max_steps=2", "log_every=1", "eval_every=1", "eval_rows=2", "precision=fp32"],
}
"""What makes the lines quick; later options precede."""


def section() -> str:
    """Return the section, with its long lines joined."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.split(r"^## ", text.partition("\n## Evaluation\n")[2], flags=re.MULTILINE)[0]
    return re.sub(r" \\\n +", " ", found)


def lines() -> list[str]:
    """Return the command lines of the section."""
    return re.findall(r"^    (mmmodal .*)$", section(), re.MULTILINE)


@pytest.fixture(scope="module")
def folder(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold what the lines name: two models, data of a quickstart, and the picture."""
    root = tmp_path_factory.mktemp("readme")
    for name in ("aligned", "model"):
        shutil.copytree(start, root / "quickstart" / name)
    for name in ("test", "instruct"):
        make_records(root / "quickstart/data" / name, 12, split="test")
    (block,) = re.findall(r"^```json\n(.*?)^```$", section(), re.MULTILINE | re.DOTALL)
    (root / "mine.jsonl").write_text(json.dumps(json.loads(block)) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving() as server:
        yield server.url


def words_of(line: str, endpoint: str) -> list[str]:
    """Return a line as it is run here: small, and with an endpoint that is there."""
    words = shlex.split(line.replace(ENDPOINT, endpoint))[1:]
    asks = words[:2] not in (["evaluate", "compare"], ["evaluate", "gate"])
    return [*words, *(FEW[words[0]] if asks else [])]


@pytest.mark.timeout(600)
def test_the_lines_run_in_their_order(
    folder: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run(["playground", "draw", "red", "star", "star.png"]) == 0

    assert len(lines()) == 6 and sum(ENDPOINT in line for line in lines()) == 1
    for line in lines():
        assert run(words_of(line, endpoint)) == 0, line

    results = {path.parent.as_posix() for path in Path().glob("*/**/results.json")}
    assert {"quickstart/evaluation/aligned", "quickstart/evaluation/model"} < results
    assert "mine/model" in results and any(each.startswith("served/") for each in results)
    assert Path("quickstart/evaluation/report.html").is_file()
    steps = read_lines(Path("better/run/metrics.jsonl"))
    assert sum("eval_exact" in row for row in steps) >= 2
