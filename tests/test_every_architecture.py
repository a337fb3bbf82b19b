"""A model of every preset's architecture is composed, trained in both stages, saved and talked to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mmmodal
from mmmodal.making.loading import save
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_backbones import BACKBONES
from mmmodal_playground.records import make_records
from mmmodal_playground.tiny import tiny_siglip, tiny_whisper
from tiny_architectures import ARCHITECTURES, architecture_of, tiny_causal


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("encoders")
    siglip, whisper = tiny_siglip(root / "siglip"), tiny_whisper(root / "whisper")
    return {"image": f"siglip:{siglip}", "audio": f"whisper:{whisper}"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 4)


def train(stage: str, model: Path, data: Path, out: Path) -> Path:
    values = {"model": model, "data": data, "out": out, "max_steps": 2, "batch_size": 2}
    settings = [f"{key}={value}" for key, value in values.items()]
    outcome = run_stage(load_recipe(stage, [*settings, "max_tokens=1024", "log_every=1"]))
    rows = (out / "run/metrics.jsonl").read_text().splitlines()
    assert outcome.finished and sum("loss" in json.loads(row) for row in rows) == 2
    return out


def logits_of(model: Any) -> torch.Tensor:
    content = [
        {"type": "image", "image": Image.new("RGB", (40, 50), "red")},
        {"type": "text", "text": "What is this?"},
    ]
    batch = model.processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True
    )
    with torch.no_grad():
        logits: torch.Tensor = model(**batch).logits
    return logits


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.name)
def test_every_preset_has_an_architecture_that_is_tested(backbone: Any) -> None:
    assert architecture_of(backbone.name) in ARCHITECTURES


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_composes_trains_saves_reloads_and_talks(
    tmp_path: Path, encoders: dict[str, str], data: Path, architecture: str
) -> None:
    tiny_causal(tmp_path / "lm", architecture)
    torch.manual_seed(0)
    mmmodal.compose(tmp_path / "start", backbone=f"auto:{tmp_path / 'lm'}", encoders=encoders)
    aligned = train("align", tmp_path / "start", data, tmp_path / "aligned")
    chatty = train("instruct", aligned, data, tmp_path / "chatty")

    start, model = mmmodal.load(tmp_path / "start"), mmmodal.load(chatty)
    before, after = start.state_dict(), model.state_dict()
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert {"image_projector", "audio_projector", "language_model"} <= moved
    assert not {name for name in moved if name.endswith("_tower")}

    again = mmmodal.load(save(model, tmp_path / "again"))
    assert torch.equal(logits_of(again), logits_of(model))

    chat, anew = (mmmodal.Chat(again, max_new_tokens=6, min_new_tokens=6) for _ in range(2))
    red, blue = Image.new("RGB", (40, 50), "red"), Image.new("RGB", (50, 40), "blue")
    for text, pictures in (("What is this?", [red]), ("And now?", []), ("Which?", [blue, red])):
        anew._cache, anew._cached_ids = None, []  # reads everything once more
        assert chat.say(text, images=pictures) == anew.say(text, images=pictures)
    assert [message.role for message in chat.messages] == ["user", "assistant"] * 3
