"""What is installed, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_packages import install, run_mmmodal
from mmmodal.cli.main import run

OPTIONS = '''
from pathlib import Path
from typing import Literal
import mmmodal
from mmmodal.config import OfSource

class EarsOptions(mmmodal.Config):
    channels: int = 2
    """How many channels it hears."""
    side: Literal["left", "right"] | None = None
    where: Path
    weights: tuple[float, ...] = (0.5, 1.5)
    rate: OfSource[int] = 16_000

class Ears(mmmodal.Encoder):
    name = "ears"
    modality = "audio"
    source = "someone/ears"
    Options = EarsOptions
    width = 8
    def preprocess(self, item): ...
    def example(self): ...
    def build(self): ...

@mmmodal.hookimpl
def mmmodal_encoders():
    return [Ears]
'''


def test_encoders_are_listed_with_their_options(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-ears", OPTIONS)

    rows = json.loads(run_mmmodal("encoders", "--json", path=tmp_path).stdout)
    table = run_mmmodal("encoders", path=tmp_path).stdout.splitlines()

    (row,) = [row for row in rows if row["name"] == "ears"]
    assert (row["package"], row["version"], row["modality"]) == ("mmmodal-ears", "0.1", "audio")
    assert (row["default_projector"], row["source"]) == ("mlp", "someone/ears")
    options = {option.pop("name"): option for option in row["options"]}
    assert options["channels"] == {
        "type": "int",
        "required": False,
        "default": 2,
        "of_source": False,
        "description": "How many channels it hears.",
    }
    assert options["side"]["type"] == "Literal['left', 'right'] | None"
    assert options["where"]["required"]
    assert options["weights"]["default"] == [0.5, 1.5]
    assert options["rate"]["of_source"] and options["rate"]["default"] is None
    assert table[0].split()[:3] == ["ENCODER", "PACKAGE", "VERSION"]
    told = "channels=2 side=None where=… weights=(0.5, 1.5)"  # a default rate would be made up
    assert any(line.endswith(told) for line in table)


CARDS = """
import mmmodal

class Ears(mmmodal.Encoder):
    name = "ears"
    modality = "audio"
    default_projector = "{projector}"
    card = mmmodal.Card(width=768, positions=1500, per="30 s", licence="Apache-2.0")
    width = 768
    def preprocess(self, item): ...
    def example(self): ...
    def build(self): ...

@mmmodal.hookimpl
def mmmodal_encoders():
    return [Ears]
"""


@pytest.mark.parametrize(
    ("projector", "tokens"), [("conv", 487), ("mlp", 1500), ("no-such-projector", None)]
)
def test_published_encoders_are_listed_with_width_tokens_and_licence(
    tmp_path: Path, projector: str, tokens: int | None
) -> None:
    install(tmp_path, "mmmodal-ears", CARDS.format(projector=projector))

    rows = json.loads(run_mmmodal("encoders", "--json", path=tmp_path).stdout)
    table = run_mmmodal("encoders", path=tmp_path).stdout.splitlines()

    (row,) = [row for row in rows if row["name"] == "ears"]
    card = {"width": 768, "positions": 1500, "per": "30 s", "licence": "Apache-2.0"}
    assert row.items() >= {**card, "tokens": tokens}.items()
    (line,) = [line for line in table if line.startswith("ears ")]
    assert line.split()[-7:-1] == ["768", "1500", "30", "s", str(tokens or "-"), "Apache-2.0"]
    assert table[0].split()[-6:] == ["WIDTH", "POSITIONS", "PER", "TOKENS", "LICENCE", "OPTIONS"]


def test_of_an_encoder_without_a_card_nothing_is_made_up(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-ears", OPTIONS)
    rows = json.loads(run_mmmodal("encoders", "--json", path=tmp_path).stdout)
    (row,) = [row for row in rows if row["name"] == "ears"]
    keys = ("width", "positions", "per", "tokens", "licence")
    assert [row[key] for key in keys] == [None] * 5


VOICE = """
import mmmodal
from mmmodal.backbones.auto import AutoBackbone

class Voice(AutoBackbone):
    name = "voice"
    source = "someone/voice"
    card = mmmodal.BackboneCard(parameters=494_032_768, positions=32768, licence="Apache-2.0")

@mmmodal.hookimpl
def mmmodal_backbones():
    return [Voice]
"""


def test_published_backbones_are_listed_with_parameters_context_and_licence(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-voice", VOICE)

    rows = json.loads(run_mmmodal("backbones", "--json", path=tmp_path).stdout)
    table = run_mmmodal("backbones", path=tmp_path).stdout.splitlines()

    (row,) = [row for row in rows if row["name"] == "voice"]
    card = {"parameters": 494_032_768, "positions": 32768, "licence": "Apache-2.0"}
    assert row.items() >= {**card, "source": "someone/voice"}.items()
    (auto,) = [row for row in rows if row["name"] == "auto"]
    assert [auto[key] for key in card] == [None] * 3
    (line,) = [line for line in table if line.startswith("voice ")]
    assert line.split()[3:8] == ["someone/voice", "0.49", "B", "32768", "Apache-2.0"]
    assert table[0].split()[3:] == ["SOURCE", "PARAMETERS", "POSITIONS", "LICENCE", "OPTIONS"]


@pytest.mark.parametrize("kind", ["modalities", "projectors", "backbones"])
def test_the_parts_of_core_are_listed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows and all(row["package"] and row["version"] and row["name"] for row in rows)

    assert run([kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rows) + 1
    starts = {line.index("mmmodal-core") for line in lines if "mmmodal-core" in line}
    assert starts == {lines[0].index("PACKAGE")}
