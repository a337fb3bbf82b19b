"""A pack gives what its samples give alone, whatever computes attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import mmmodal
from mmmodal.contracts.record import ContentPart, Message
from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import ConfigError
from mmmodal.model.attention import use_attention
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.varlen import supports_varlen
from mmmodal.samples.collation import Sample
from mmmodal.train.loop.trainable import choose
from mmmodal.train.stage.pack_check import check_positions, keeps_apart
from tiny_architectures import ARCHITECTURES, SWITCH, WINDOW, tiny_causal
from worlds import clip, compose, picture

Make = Callable[..., MMModalForConditionalGeneration]

APART = ("eager", "sdpa", "varlen")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def make(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what composes a model of an architecture; its folder is made once."""
    root = tmp_path_factory.mktemp("models")

    def made(architecture: str, attention: str) -> MMModalForConditionalGeneration:
        folder = root / architecture
        if not folder.exists():
            tiny_causal(root / f"{architecture}-lm", architecture)
            compose(root / f"{architecture}-lm", parts, folder)
        model = mmmodal.load(folder)
        use_attention(model, attention)
        return model

    return made


def samples_of(model: MMModalForConditionalGeneration) -> list[Sample]:
    """Three conversations: a picture and a clip, text alone, two clips; two beyond a window."""
    return [
        sample(model, "Look and listen.", look(1), listen(0.3)),
        sample(model, "Only words here, and quite a few of them, so that the window is left."),
        sample(model, "Twice.", listen(0.2), listen(0.5)),
    ]


def sample(model: MMModalForConditionalGeneration, text: str, *media: tuple[str, Any]) -> Sample:
    asked = [ContentPart(type=kind, media=i) for i, (kind, _) in enumerate(media)]
    messages = [
        Message(role="user", content=(*asked, ContentPart(type="text", text=text))),
        Message(role="assistant", content=(ContentPart(type="text", text=f"I have it: {text}"),)),
    ]
    return model.processor.preparer.prepare(messages, media)


def look(seed: int) -> tuple[str, Any]:
    return "image", picture(seed)


def listen(seconds: float, seed: int = 9) -> tuple[str, Any]:
    return "audio", clip(seed, seconds)


def gradients(model: MMModalForConditionalGeneration) -> dict[str, torch.Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def loss_and_gradients(
    model: MMModalForConditionalGeneration, batches: list[Any]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the token-weighted loss of all batches, and its gradients."""
    model.zero_grad()
    items = sum(int((batch["labels"][..., 1:] >= 0).sum()) for batch in batches)
    losses = [model(**batch, num_items_in_batch=items).loss for batch in batches]
    total = torch.stack(losses).sum()
    total.backward()
    return float(total.detach()), gradients(model)


@pytest.mark.parametrize("attention", APART)
@pytest.mark.parametrize("architecture", ["qwen2", "mistral"])
def test_a_pack_has_the_loss_and_gradients_of_its_samples(
    make: Make, architecture: str, attention: str
) -> None:
    """Mistral's window is shorter than the samples."""
    model = make(architecture, attention).train()
    choose(model, ["projectors", "language_model"])
    samples = samples_of(model)
    assert max(len(s.input_ids) for s in samples) > 2 * WINDOW
    alone = [model.processor.preparer.collate([one]) for one in samples]
    expected, wanted = loss_and_gradients(model, alone)
    found, given = loss_and_gradients(model, [model.processor.preparer.collate_pack(samples)])
    assert found == pytest.approx(expected, abs=1e-5)
    assert given.keys() == wanted.keys() and len(given) > 20
    for name, gradient in wanted.items():
        torch.testing.assert_close(given[name], gradient, **CLOSE, msg=name)


@pytest.mark.parametrize("attention", APART)
@pytest.mark.parametrize("architecture", ["llama", "mistral"])
def test_a_padded_batch_has_the_loss_of_a_pack(
    make: Make, architecture: str, attention: str
) -> None:
    model = make(architecture, attention).train()
    samples = samples_of(model)
    padded = model(**model.processor.preparer.collate(samples)).loss
    packed = model(**model.processor.preparer.collate_pack(samples)).loss
    torch.testing.assert_close(packed, padded, **CLOSE)


@pytest.mark.parametrize("attention", APART)
def test_another_neighbour_of_the_same_length_changes_nothing(make: Make, attention: str) -> None:
    model = make("mistral", attention)
    first, *rest = samples_of(model)
    # As many media, so that nothing but the neighbour's values is different: how a processor adds
    # up may depend on how many items a batch has.
    other = sample(model, "Look and listen.", look(2), listen(0.3, seed=5))
    said = [
        token if label == IGNORE else 7 + place % 90
        for place, (token, label) in enumerate(zip(other.input_ids, other.labels, strict=True))
    ]
    other = dataclasses.replace(other, input_ids=said)
    assert len(other.input_ids) == len(first.input_ids)
    before, after = (
        model(**model.processor.preparer.collate_pack(pack)).logits[:, len(first.input_ids) :]
        for pack in ([first, *rest], [other, *rest])
    )
    assert torch.equal(before, after)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_keeps_the_samples_of_a_pack_apart(
    make: Make, architecture: str
) -> None:
    """Computed as a recipe that names no attention does it."""
    model = make(architecture, "eager" if architecture == "gemma2" else "sdpa")
    if supports_varlen(model.get_decoder()) and architecture != "gemma2":
        use_attention(model, "varlen")
    samples = [sample(model, text) for text in ("Hi", "Bye", "So it is")]
    assert WINDOW < len(samples[-1].input_ids) < SWITCH
    assert keeps_apart(model.get_decoder())
    with torch.no_grad():
        packed = model(**model.processor.preparer.collate_pack(samples)).logits[0]
        alone = [model(**model.processor.preparer.collate([one])).logits[0] for one in samples]
    torch.testing.assert_close(packed, torch.cat(alone), **CLOSE)


@pytest.mark.slow
@pytest.mark.timeout(900)  # torch compiles it when it first runs
def test_flex_attention_gives_a_pack_the_logits_of_its_samples(make: Make) -> None:
    model = make("mistral", "flex_attention")
    samples = samples_of(model)
    with torch.no_grad():
        packed = model(**model.processor.preparer.collate_pack(samples)).logits
        use_attention(model, "sdpa")
        expected = model(**model.processor.preparer.collate_pack(samples)).logits
    torch.testing.assert_close(packed, expected, atol=1e-4, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's kernel runs on a GPU")
@pytest.mark.parametrize("architecture", ["qwen2", "mistral"])
def test_torchs_kernel_for_packs_agrees_with_masks(make: Make, architecture: str) -> None:
    found = {}
    for attention in ("sdpa", "varlen"):
        model = make(architecture, attention).to("cuda", torch.bfloat16)
        with torch.no_grad():
            pack = model.processor.preparer.collate_pack(samples_of(model)).to("cuda")
            found[attention] = model(**pack).logits.float()
    scale = found["sdpa"].abs().max()
    assert (found["varlen"] - found["sdpa"]).abs().max() < 0.02 * scale


def test_towers_run_once_over_all_items_of_a_pack(make: Make) -> None:
    model = make("qwen2", "varlen").train()
    choose(model, ["projectors"])
    ran: list[tuple[str, bool]] = []
    for name in ("image", "audio"):
        model.model.tower(name).register_forward_hook(
            lambda module, args, output, name=name: ran.append((name, output[0].requires_grad))
        )
    model(**model.processor.preparer.collate_pack(samples_of(model))).loss.backward()
    assert sorted(ran) == [("audio", False), ("image", False)]


def test_the_loss_comes_without_logits_where_they_are_skipped(make: Make) -> None:
    model = make("qwen2", "sdpa").train()
    batch = model.processor.preparer.collate(samples_of(model))
    found = model(**batch, skip_logits=True)
    assert found.loss is not None and found.logits is None
    asked = model(**batch)
    assert asked.logits.shape[:2] == batch["input_ids"].shape
    torch.testing.assert_close(asked.loss, found.loss, **CLOSE)
    assert model.eval()(**batch).logits is not None


def test_gradient_checkpointing_computes_the_same_attention_again(make: Make) -> None:
    model = make("mistral", "varlen").train()
    choose(model, ["projectors", "language_model"])
    pack = [model.processor.preparer.collate_pack(samples_of(model))]
    expected, wanted = loss_and_gradients(model, pack)
    named = "activation_checkpointing_enable"  # since transformers 5.23
    getattr(model, named if hasattr(model, named) else "gradient_checkpointing_enable")(
        {"use_reentrant": False}
    )
    found, given = loss_and_gradients(model, pack)
    assert found == expected
    for name, gradient in wanted.items():
        torch.testing.assert_close(given[name], gradient, **CLOSE, msg=name)


def test_generation_is_the_same_with_attention_for_packs(make: Make) -> None:
    text = [{"role": "user", "content": [{"type": "text", "text": "Say something."}]}]
    said = []
    for attention in ("sdpa", "varlen"):
        model = make("mistral", attention)
        batch = model.processor.apply_chat_template(
            [text, [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]],
            tokenize=True, return_dict=True, add_generation_prompt=True,
        )  # fmt: skip
        said.append(model.generate(**batch, max_new_tokens=6, min_new_tokens=6))
    assert torch.equal(*said)


def test_a_model_that_lets_samples_see_each_other_is_found_out() -> None:
    """BLOOM makes its mask without looking at positions."""
    config = AutoConfig.for_model("bloom", vocab_size=64, hidden_size=32, n_layer=2, n_head=4)
    torch.manual_seed(0)
    leaky = AutoModel.from_config(config)
    assert not supports_varlen(leaky)
    assert not keeps_apart(leaky)


def test_capped_attention_is_refused_by_name() -> None:
    config = AutoConfig.for_model(
        "gemma2", vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16,
    )  # fmt: skip
    assert not supports_varlen(AutoModelForCausalLM.from_config(config).model)


def test_positions_that_change_with_length_are_refused(make: Make) -> None:
    model = make("phi3", "sdpa")
    check_positions(model, 64)
    with pytest.raises(ConfigError, match="set max_tokens=64 or packing=false"):
        check_positions(model, 65)
    check_positions(make("llama", "sdpa"), 100_000)
