"""docs/architecture.md says what runs: layers, the road of a record, the road of a chat turn."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from mmmodal_playground.records import make_records
from worlds import picture

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "packages/core/src/mmmodal"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
MOST_OF_A_RECORD, MOST_OF_A_TURN = 20, 12
PARTS = {
    "modalities/image.py",
    "projectors/mlp.py",
    "contracts/encoder.py",
    "contracts/projector.py",
}
"""What plugins bring or inherit, of a model of SigLIP and its usual projector."""


class Generates(Exception):
    """The model would generate now."""


def listed(section: str, after: str = "\n") -> list[str]:
    """Return the files that the first table of a section names, behind a sentence in it."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0].partition(after)[2]
    table = text.partition("|---|")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([\w/]+\.py)`", table, flags=re.MULTILINE)


def entered(run: Callable[[], Any]) -> list[str]:
    """Return the files of core of which a function was called, in the order of the first call."""
    found: dict[str, None] = {}

    def look(frame: Any, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(SOURCE)):
            found.setdefault(str(Path(path).relative_to(SOURCE)))

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return list(found)


def test_the_road_of_a_record_is_the_one_on_the_page(model: Any, tmp_path: Path) -> None:
    from mmmodal.records.dataset import RecordDataset
    from mmmodal.samples.dataset import PreparedDataset

    records = RecordDataset(make_records(tmp_path, 13))
    preparer = model.processor.preparer
    dataset = PreparedDataset([records], preparer, max_tokens=512)
    kinds = [[ref.kind for ref in records[index][1].media] for index in range(len(records))]
    index = next(i for i, found in enumerate(kinds) if set(found) == {"image"})
    dataset[index]  # what is derived once is there

    def run() -> None:
        batch = preparer.collate([dataset[index]])
        with torch.no_grad():
            model.eval()(**batch)

    read = listed("The road of a record", "From a line")
    road = listed("The road of a record", "From the record to logits")
    assert set(entered(run)) == {*read, *road}
    assert len(road) <= MOST_OF_A_RECORD


def test_the_road_of_a_chat_turn_is_the_one_on_the_page(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(1).save(tmp_path / "a.png")
    chat = mmmodal.Chat(model, max_new_tokens=2)
    for _ in range(2):
        chat.say("Hello", images=[tmp_path / "a.png"])

    def stop(*arguments: Any, **named: Any) -> Any:
        raise Generates

    def run() -> None:
        with pytest.raises(Generates):
            chat.say("What is it?", images=[tmp_path / "a.png"])

    monkeypatch.setattr(model, "generate", stop)
    road = listed("The road of a chat turn")
    assert set(entered(run)) - PARTS == set(road)
    assert len(road) <= MOST_OF_A_TURN


def test_the_layers_on_the_page_are_those_that_are_held() -> None:
    config = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = config.partition('name = "core\'s layers"')[2].partition("[[")[0]
    held = re.findall(r'^  "([\w |]+)",$', contract, flags=re.MULTILINE)
    shown = PAGE.partition("```\n")[2].partition("```")[0].splitlines()
    pairs = [sorted(re.findall(r"\w+", line.partition("   ")[0])) for line in shown]
    assert [name for layer in held for name in sorted(layer.split(" | "))] == [
        name for layer in pairs for name in layer if name != "preflight"
    ]


def test_every_file_that_the_page_names_is_there() -> None:
    for name in re.findall(r"`([\w/]+\.(?:py|yaml))`", PAGE):
        assert (SOURCE / name).is_file() or (ROOT / name).is_file(), name


def test_the_tree_of_the_readme_names_every_folder() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2]
    tree = tree.partition("```\n")[2].partition("```")[0]
    named = set(re.findall(r"(?:^|  )(\w+)/ ", tree, flags=re.MULTILINE))
    there = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert there <= named
    for name in named - {"examples", "containers", "formats", "feature_cache"}:
        assert (SOURCE / name).is_dir() or (
            ROOT / "packages/core/src/mmmodal/train" / name
        ).is_dir()


def test_one_place_prepares_a_conversation() -> None:
    """The renderer is called by the preparer, for samples, and by the transcript, for prompts."""
    callers = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(ast.Attribute(attr="renderer"), "render" | "prompt"):
                    callers.add(str(path.relative_to(SOURCE)))
    assert callers == {"samples/preparer.py", "samples/transcript.py"}
