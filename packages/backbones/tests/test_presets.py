"""The presets are found by name and know where they come from."""

from __future__ import annotations

from pathlib import Path

from mmmodal.plugins import registry
from mmmodal_backbones import BACKBONES


def test_every_preset_is_found_by_its_name() -> None:
    for backbone in BACKBONES:
        found = registry().get("backbones", backbone.name)
        assert found is not None
        assert (found.part, found.package) == (backbone, "mmmodal-backbones")


def test_every_preset_names_a_repository() -> None:
    for backbone in BACKBONES:
        assert backbone.source is not None
        assert len(backbone.source.split("/")) == 2


def test_the_papers_three_models_are_there() -> None:
    names = {backbone.name for backbone in BACKBONES}
    assert {"qwen1.5-0.5b", "tinyllama-1.1b", "mistral-7b"} <= names


def test_the_readme_lists_every_preset() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for backbone in BACKBONES:
        assert f"| `{backbone.name}` | {backbone.source} |" in text
