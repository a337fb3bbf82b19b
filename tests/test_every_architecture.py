"""A model of every preset's architecture is composed, trained in both stages, saved and talked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from mmmodal.making.loading import save
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_backbones import BACKBONES
from mmmodal_playground.records import make_records
from tiny_architectures import ARCHITECTURES, architecture_of, tiny_causal
from worlds import compose, logged, logits_of, picture, user


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 4)


CHAT = [user(picture(), "What is this?")]


def train(stage: str, model: Path, data: Path, out: Path) -> Path:
    values = {"model": model, "data": data, "out": out, "max_steps": 2, "batch_size": 2}
    settings = [f"{key}={value}" for key, value in values.items()]
    outcome = run_stage(load_recipe(stage, [*settings, "max_tokens=1024", "log_every=1"]))
    assert outcome.finished and len(logged(out)) == 2
    return out


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.name)
def test_every_preset_has_an_architecture_that_is_tested(backbone: Any) -> None:
    assert architecture_of(backbone.name) in ARCHITECTURES


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_composes_trains_saves_reloads_and_talks(
    tmp_path: Path, parts: dict[str, Path], data: Path, architecture: str
) -> None:
    tiny_causal(tmp_path / "lm", architecture)
    compose(tmp_path / "lm", parts, tmp_path / "start")
    aligned = train("align", tmp_path / "start", data, tmp_path / "aligned")
    chatty = train("instruct", aligned, data, tmp_path / "chatty")

    start, model = mmmodal.load(tmp_path / "start"), mmmodal.load(chatty)
    before, after = start.state_dict(), model.state_dict()
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert {"image_projector", "audio_projector", "language_model"} <= moved
    assert not {name for name in moved if name.endswith("_tower")}

    again = mmmodal.load(save(model, tmp_path / "again"))
    assert torch.equal(logits_of(again, CHAT), logits_of(model, CHAT))

    chat, anew = (mmmodal.Chat(again, max_new_tokens=6, min_new_tokens=6) for _ in range(2))
    one, two = picture(1, (40, 50)), picture(2, (50, 40))
    for text, pictures in (("What is this?", [one]), ("And now?", []), ("Which?", [two, one])):
        anew._cache, anew._cached_ids = None, []  # reads everything once more
        assert chat.say(text, images=pictures) == anew.say(text, images=pictures)
    assert [message.role for message in chat.messages] == ["user", "assistant"] * 3
