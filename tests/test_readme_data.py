"""The lines of the README that train on others' data, run on data of these layouts."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_hub import data_hub, instead_of_the_hub_of_data
from layouts import LAYOUTS, hub_files, write_media
from mmmodal.cli.main import run
from worlds import ROOT, logged

FEW = ["batch_size=1", "max_steps=2", "log_every=1", "max_tokens=512", "precision=fp32"]
HELD = ("Parquet of captions", "WebDataset", "ms-swift", "LLaVA")


def lines() -> list[str]:
    """Return the command lines of the section on data."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition("\n## Data\n")[2], flags=re.MULTILINE)[0]
    return re.findall(r"^    (mmmodal .*)$", section, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hold what the lines name: the models `start` and `aligned`, and data of each layout."""
    root = tmp_path_factory.mktemp("readme")
    for name in ("start", "aligned"):
        shutil.copytree(start, root / name)
    write_media(root)
    for layout in HELD:
        LAYOUTS[layout](root)
    with data_hub() as hub, instead_of_the_hub_of_data(hub, root / "cache"):
        hub.add("lab/captions", hub_files(root))
        yield root


def test_the_section_has_the_five_commonest_layouts() -> None:
    assert len(lines()) == 5
    assert len({re.sub(r".*data=", "", line) for line in lines()}) == 5


@pytest.mark.parametrize("line", lines())
def test_a_line_trains_on_data_of_its_layout(
    line: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    name, *words = shlex.split(line)
    # Several lines write `aligned`, which others read.
    kept = [word for word in words if not word.startswith("out=")]
    assert (name, len(words) - len(kept)) == ("mmmodal", 1)

    assert run([*kept, f"out={tmp_path / 'out'}", *FEW]) == 0

    assert [row["step"] for row in logged(tmp_path / "out")] == [1, 2]
