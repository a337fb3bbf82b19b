"""The pages about the data pipeline: one for each step, with options and commands that are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmmodal.cli.main import COMMANDS
from mmmodal.config import validate
from mmmodal_datagen.parts import BACKENDS, find, registry
from mmmodal_datagen.pipeline import Execution
from mmmodal_datagen.pipeline_files import shipped_pipelines
from worlds import ROOT

FOLDER = ROOT / "docs/datagen"
PAGES = sorted(FOLDER.glob("*.md"))
OWN = {"run", "parts", "pipelines"}


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(
        r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return [text for name, text in found if name == language]


def test_every_step_has_its_page() -> None:
    pages = {page.stem for page in PAGES}
    assert set(registry().names("generators")) <= pages
    first = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"({name}.md)" in first for name in pages - {"README"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_of_a_pipeline_is_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        if "execution:" in text:
            for line in text.splitlines():
                validate(Execution, yaml.safe_load(line)["execution"], page.name)
            continue
        shown: dict[str, Any] = yaml.safe_load(text)
        for name, step in shown.get("steps", {}).items():
            part = find("generators", step.get("step", name))
            preset = part.presets[step["preset"]] if "preset" in step else {}
            validate(part.Options, {**preset, **step.get("options", {})}, page.name)
        for entry in shown.get("backends", {}).values():
            kind = next(kind for kind in BACKENDS if kind in entry)
            part = find(BACKENDS[kind], entry[kind])
            validate(part.Options, entry.get("options", {}), page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_there(page: Path) -> None:
    for text in blocks(page, ""):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["mmmodal"]:
                continue
            assert words[1] in {*COMMANDS, "datagen", "playground"}
            if words[1] == "datagen":
                assert words[2] in {*OWN, *registry().names("generators")}
            if words[1:3] == ["datagen", "run"] and not words[3].endswith(".yaml"):
                assert words[3] in shipped_pipelines()
