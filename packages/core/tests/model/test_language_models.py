"""A composed model is, for text, the very language model it was composed of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

import mmmodal
from tiny_architectures import ARCHITECTURES, SWITCH, WINDOW, tiny_causal
from worlds import batch_of, compose, picture, user

TEXT = torch.randint(3, 500, (2, 2 * WINDOW), generator=torch.Generator().manual_seed(1))
"""Longer than a window, shorter than the point where Phi-3's positions change: [2, T]."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random language model of each architecture."""
    root = tmp_path_factory.mktemp("language-models")
    for name in ARCHITECTURES:
        tiny_causal(root / name, name)
    return {name: root / name for name in ARCHITECTURES}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_generation_equal_the_bare_language_model(
    folders: dict[str, Path], parts: dict[str, Path], architecture: str
) -> None:
    bare = AutoModelForCausalLM.from_pretrained(folders[architecture]).eval()
    composed = compose(folders[architecture], parts, kinds=["image"])
    with torch.no_grad():
        expected, found = bare(TEXT).logits, composed(TEXT).logits
    known = expected.shape[-1]
    torch.testing.assert_close(found[..., :known], expected, atol=1e-5, rtol=0)
    settings: dict[str, Any] = {
        "max_new_tokens": 16,
        "min_new_tokens": 16,
        "do_sample": False,
        "eos_token_id": 2,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    one, two = bare.generate(TEXT, **settings), composed.generate(TEXT, **settings)
    assert torch.equal(two.sequences, one.sequences)
    for expected, found in zip(one.logits, two.logits, strict=True):
        torch.testing.assert_close(found[..., :known], expected, atol=1e-5, rtol=0)
    prompt = composed.get_input_embeddings()(TEXT)
    three = composed.generate(inputs_embeds=prompt, **settings)
    assert torch.equal(three.sequences, one.sequences[:, TEXT.shape[1] :])


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text", "granite"])
def test_features_enter_as_the_projector_made_them_and_text_as_the_family_scales_it(
    folders: dict[str, Path], parts: dict[str, Path], architecture: str
) -> None:
    """Gemma multiplies in its embedding module, before features come; Granite behind it."""
    model = compose(folders[architecture], parts, kinds=["image"])
    batch = batch_of(model, [[user(picture(1), "What is this?")]])
    seen: list[torch.Tensor] = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        features = model.get_image_features(batch["pixel_values"]).pooler_output
        model(**batch)
    (entered,) = seen
    slots = batch["input_ids"] == model.config.image_token_id
    assert torch.equal(entered[slots], features)
    rows = model.get_input_embeddings().weight[batch["input_ids"][~slots]]
    scale = 1.0 if architecture == "granite" else 64**0.5
    torch.testing.assert_close(entered[~slots], scale * rows)


def test_gemma_3_of_transformers_takes_its_features_unscaled_too(tmp_path: Path) -> None:
    """What ours does is what the family does: shown on the code that is no one's here."""
    text = tiny_causal(tmp_path / "lm", "gemma3_text").config
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    theirs = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_id=3
        )
    ).eval()
    ids = torch.tensor([[5, 6, 3, 3, 3, 3, 7]])
    pixels = torch.randn(1, 3, 32, 32)
    seen: list[torch.Tensor] = []
    theirs.model.language_model.register_forward_pre_hook(
        lambda module, args, inputs: seen.append(inputs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        features = theirs.model.get_image_features(pixels).pooler_output
        theirs(input_ids=ids, pixel_values=pixels, token_type_ids=(ids == 3).long())
    given = torch.cat([item.reshape(-1, 64) for item in features])
    torch.testing.assert_close(seen[0][ids == 3], given)


@pytest.mark.parametrize("prompt", [SWITCH - 8, SWITCH + 8], ids=["crossing", "behind"])
def test_phi_3_reads_everything_anew_where_its_positions_change(
    folders: dict[str, Path], parts: dict[str, Path], prompt: int
) -> None:
    bare = AutoModelForCausalLM.from_pretrained(folders["phi3"]).eval()
    composed = compose(folders["phi3"], parts, kinds=["image"])
    settings: dict[str, Any] = {"max_new_tokens": 20, "min_new_tokens": 20, "do_sample": False}
    ids = TEXT[:1].repeat(1, 2)[:, :prompt]
    expected = bare.generate(ids, **settings, eos_token_id=2, use_cache=False)
    assert torch.equal(composed.generate(ids, **settings, eos_token_id=2), expected)


def test_phi_3_sees_its_media_when_it_reads_anew(
    folders: dict[str, Path], parts: dict[str, Path]
) -> None:
    model = compose(folders["phi3"], parts, kinds=["image"])
    batch = batch_of(model, [[user(picture(1), "Hello!")]])
    assert batch["input_ids"].shape[1] < SWITCH
    settings: dict[str, Any] = {"max_new_tokens": 24, "min_new_tokens": 24, "do_sample": False}
    cached = model.generate(**batch, **settings)
    assert torch.equal(cached, model.generate(**batch, **settings, use_cache=False))


def test_phi_3_goes_on_talking_where_its_positions_change(
    folders: dict[str, Path], parts: dict[str, Path]
) -> None:
    model = compose(folders["phi3"], parts, kinds=["image"])
    kept, anew = (mmmodal.Chat(model, max_new_tokens=4, min_new_tokens=4) for _ in range(2))
    for turn in range(3):
        media = [picture(turn)] if turn != 1 else []
        anew._cache, anew._cached_ids = None, []
        assert kept.say("And now?", images=media) == anew.say("And now?", images=media)
