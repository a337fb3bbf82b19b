"""The pages about steps show settings that their steps take, and name what steps have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mmmodal.config import validate
from mmmodal_datagen.parts import find
from worlds import ROOT

PAGES = sorted((ROOT / "docs/datagen").glob("*.md"))
MINE = [
    page
    for page in PAGES
    if page.stem in ("questions", "dialogue", "visual-qa", "relate", "translate")
]


def shown(page: Path) -> list[dict[str, object]]:
    """Return the steps of a page's YAML, by name."""
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    found = [yaml.safe_load(block) for block in blocks]
    return [block.get("steps", block) for block in found]


@pytest.mark.parametrize("page", MINE, ids=lambda page: page.stem)
def test_settings_on_a_page_are_ones_the_step_takes(page: Path) -> None:
    checked = set()
    for steps in shown(page):
        for name, entry in steps.items():
            part = find("generators", entry.get("step", name))  # type: ignore[attr-defined]
            preset = part.presets[entry["preset"]] if "preset" in entry else {}  # type: ignore[index,operator]
            given = entry.get("options", {})  # type: ignore[attr-defined]
            validate(part.Options, {**preset, **given}, page.name)
            checked.add(part.name)
    assert page.stem in checked


@pytest.mark.parametrize("page", MINE, ids=lambda page: page.stem)
def test_a_page_names_its_paper_section_and_its_presets(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.search(r"Follows sections? [24]|Follows section 3", text)
    assert "## Where it departs from the paper" in text
    assert all(preset in text for preset in find("generators", page.stem).presets)


def test_every_step_of_these_has_its_page() -> None:
    assert len(MINE) == 5
