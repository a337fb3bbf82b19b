"""The loss that balances experts counts in training as in the language model alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

import mmmodal
from any_language_model import write_language_model
from mmmodal.cli.main import run
from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import PartError
from mmmodal.model.head import decoder_of
from mmmodal.model.modeling import MMModalForConditionalGeneration
from worlds import compose, encoders_of

FAMILIES = ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "jetmoe", "jamba"]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("experts")
    for family in FAMILIES:
        write_language_model(root / family, family, output_router_logits=True)
    return {family: root / family for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def model(
    request: pytest.FixtureRequest, folders: dict[str, Path], parts: dict[str, Path]
) -> MMModalForConditionalGeneration:
    return compose(folders[request.param], parts, kinds=["image"]).train()


def bare_of(model: MMModalForConditionalGeneration) -> PreTrainedModel:
    """Return the language model alone, with the rows of the markers."""
    bare: PreTrainedModel = AutoModelForCausalLM.from_config(model.config.text_config)
    decoder_of(bare).load_state_dict(model.model.language_model.state_dict())
    bare.get_output_embeddings().load_state_dict(model.lm_head.state_dict())
    return bare.train()


def batch(
    lengths: tuple[int, ...] = (40, 25), answers: tuple[int, ...] = (30, 10)
) -> dict[str, Any]:
    """Return texts padded on the right, each with an answer at its end."""
    ids = torch.randint(3, 500, (len(lengths), 40), generator=torch.Generator().manual_seed(0))
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
    for row, (length, answer) in enumerate(zip(lengths, answers, strict=True)):
        mask[row, :length] = 1
        labels[row, length - answer : length] = ids[row, length - answer : length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def gradients(decoder: torch.nn.Module, *losses: Tensor) -> dict[str, Tensor]:
    decoder.zero_grad()
    for loss in losses:
        loss.backward()
    return {n: p.grad for n, p in decoder.named_parameters() if p.grad is not None}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys() and any("gate" in n or "router" in n for n in one)
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], **CLOSE, msg=name)


def test_loss_and_gradients_equal_the_bare_language_models(
    model: MMModalForConditionalGeneration,
) -> None:
    bare, inputs = bare_of(model), batch()
    expected = bare(**inputs)
    found = model(**inputs)
    assert float(expected.aux_loss.detach()) > 0.5
    torch.testing.assert_close(found.loss, expected.loss, **CLOSE)
    assert_same(
        gradients(model.model.language_model, found.loss),
        gradients(decoder_of(bare), expected.loss),
    )


def test_it_is_that_of_the_config_alone(folders: dict[str, Path], parts: dict[str, Path]) -> None:
    model = compose(folders["mixtral"], parts, kinds=["image"]).train()
    inputs = batch()
    with_loss = model(**inputs).loss
    without = model(**inputs, output_router_logits=False).loss
    assert with_loss > without
    for config in (model.config.text_config, model.model.language_model.config):
        config.output_router_logits = False
    torch.testing.assert_close(model(**inputs).loss, without)
    torch.testing.assert_close(model(**inputs, output_router_logits=True).loss, with_loss)


def test_parts_of_a_batch_add_up_to_a_mean(
    folders: dict[str, Path], parts: dict[str, Path]
) -> None:
    """The Trainer adds the losses of all parts; the loss of routers does not grow with them."""
    model = compose(folders["mixtral"], parts, kinds=["image"]).train()
    whole = batch((40, 40), (30, 30))
    equal = {name: tensor[:1].expand(2, -1) for name, tensor in whole.items()}
    items = int((equal["labels"][:, 1:] != IGNORE).sum())
    part = {name: tensor[:1] for name, tensor in equal.items()}
    halves = [model(**part, num_items_in_batch=items).loss for _ in range(2)]
    torch.testing.assert_close(halves[0] + halves[1], model(**equal).loss, **CLOSE)


def test_padding_does_not_count_so_that_a_pack_has_the_same_loss(
    folders: dict[str, Path], parts: dict[str, Path]
) -> None:
    model = compose(folders["mixtral"], parts, kinds=["image"]).train()
    padded = batch()
    kept = padded["attention_mask"].bool()
    lengths = kept.sum(1).tolist()
    labels = padded["labels"].clone()
    labels[:, 0] = IGNORE
    pack = {
        "input_ids": padded["input_ids"][kept][None],
        "labels": labels[kept][None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
    }
    torch.testing.assert_close(model(**pack).loss, model(**padded).loss, **CLOSE)


def test_it_does_not_change_logits_or_answers(
    model: MMModalForConditionalGeneration,
) -> None:
    model.eval()
    ids = batch()["input_ids"][:1]
    with torch.no_grad():
        expected = bare_of(model).eval()(ids).logits
        torch.testing.assert_close(model(ids).logits, expected, atol=1e-5, rtol=0)
    said = model.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert said.shape == (1, 44)


def test_compose_can_switch_it_on(
    parts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_language_model(tmp_path / "lm", "qwen2_moe")
    encoder = f"image={encoders_of(parts, 'image')['image']}"
    arguments = ["--backbone", f"auto:{tmp_path / 'lm'}", "--encoder", encoder]
    chosen = ["--set", "backbone.router_loss=true"]
    assert run(["compose", str(tmp_path / "out"), *arguments, *chosen]) == 0, capsys.readouterr()
    model = mmmodal.load(tmp_path / "out").train()
    assert model.config.text_config.output_router_logits
    inputs = batch()
    assert model(**inputs).loss > model(**inputs, output_router_logits=False).loss


def test_a_language_model_without_experts_has_nothing_to_balance(parts: dict[str, Path]) -> None:
    part = mmmodal.Part(name="auto", source=str(parts["llama"]), options={"router_loss": True})
    with pytest.raises(PartError, match="has no experts to balance; leave out router_loss"):
        mmmodal.compose(backbone=part)
