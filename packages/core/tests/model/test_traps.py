"""What stock transformers (5.23) does to composed models, and does not do to ours.

One test for each trap that was measured; where another file tests it at length, it says which.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMultimodalLM, TrainingArguments

import mmmodal
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.loop.trainable import choose
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.arguments import arguments_of
from mmmodal.train.stage.plan import Plan
from worlds import batch_of, clip, picture, user


@pytest.fixture(scope="module")
def family() -> str:
    return "qwen2"


@pytest.fixture
def model(start: Path) -> MMModalForConditionalGeneration:
    """A model of each test's own: some train it."""
    return mmmodal.load(start)


@pytest.mark.parametrize("labels", [False, True], ids=["reading", "training"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_1_packed_samples_do_not_see_each_other_while_the_cache_is_on(
    start: Path, attention: str, labels: bool
) -> None:
    """The Trainer turns the cache off in the outer config alone; the language model reads its own."""
    model = mmmodal.load(start, attn_implementation=attention)
    model.config.use_cache = False
    assert model.config.text_config.use_cache
    one, two = torch.arange(3, 15)[None], torch.arange(40, 60)[None]
    packed = torch.cat([one, two], 1)
    positions = torch.cat([torch.arange(12), torch.arange(20)])[None]
    more = {"labels": packed} if labels else {}
    with torch.no_grad():
        together = model(packed, position_ids=positions, **more).logits
        alone = model(two).logits
    torch.testing.assert_close(together[:, 12:], alone, atol=1e-5, rtol=0)


def test_2_beams_and_several_answers_each_read_their_own_clips(
    model: MMModalForConditionalGeneration,
) -> None:
    """Stock Qwen2-Audio repeats clip by clip; test_modeling.py has more modes of generation."""
    chats = [[user(clip(1), "and", clip(2), "?")], [user(clip(3), picture(1), clip(4))]]
    settings: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4, "num_beams": 3}
    batch = batch_of(model, chats)
    together = model.generate(**batch, **settings, num_return_sequences=2)
    for row, one in enumerate(chats):
        single = batch_of(model, [one])
        alone = model.generate(**single, **settings, num_return_sequences=2)
        new = together[2 * row : 2 * row + 2, batch["input_ids"].shape[1] :]
        assert torch.equal(new, alone[:, single["input_ids"].shape[1] :])


def test_3_frozen_towers_keep_no_activations_though_their_inputs_are_hooked(
    model: MMModalForConditionalGeneration,
) -> None:
    """`enable_input_require_grads`, which PEFT calls, hooks every nested transformers model."""
    choose(model, ["projectors"])
    model.train()
    model.enable_input_require_grads()
    kept: list[bool] = []
    for name in ("image", "audio"):
        tower: Any = model.model.tower(name)
        for module in tower.modules():
            if isinstance(module, torch.nn.LayerNorm | torch.nn.Linear):
                module.register_forward_hook(
                    lambda module, args, output: kept.append(output.grad_fn is not None)
                )
    batch = batch_of(model, [[user(picture(1), clip(1), "x")]])
    model(**batch, labels=batch["input_ids"]).loss.backward()
    assert kept and not any(kept)
    for name in ("image", "audio"):
        assert all(p.grad is not None for p in model.model.projector(name).parameters())


def test_4_lora_on_the_language_model_leaves_towers_and_projectors_alone(
    model: MMModalForConditionalGeneration,
) -> None:
    """PEFT's `["q_proj"]` would hit both towers; the language model's modules have a name of own."""
    peft = pytest.importorskip("peft")
    pattern = r"model\.language_model\..*\.(q|v)_proj"
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=pattern))
    hit = {name for name, _ in adapted.named_parameters() if "lora_" in name}
    assert hit and all(".language_model." in name for name in hit)


def test_5_the_collator_keeps_the_media(model: MMModalForConditionalGeneration) -> None:
    """DataCollatorWithFlattening drops what it does not know."""
    processor = model.processor
    samples = [
        processor.preparer.prepare(*_read(model, [user(picture(1), clip(1), "a")])),
        processor.preparer.prepare(*_read(model, [user("text alone")])),
        processor.preparer.prepare(*_read(model, [user(clip(2), picture(2), picture(3))])),
    ]
    batch = processor.preparer.collate(samples)
    assert len(batch["pixel_values"]) == 3
    assert batch["input_features_lengths"].shape == (2,)
    assert {"input_ids", "attention_mask", "labels"} < set(batch)


def _read(model: MMModalForConditionalGeneration, messages: Any) -> Any:
    from mmmodal.conversation.messages import read_messages

    found, media = read_messages(messages, model.processor.modalities)
    return found, [(kind, model.processor.read(kind, value)) for kind, value in media]


def test_6_a_later_turn_takes_the_cache_and_its_own_media_alone(
    model: MMModalForConditionalGeneration,
) -> None:
    """Passing all media again is a mismatch; test_chat.py tests whole conversations."""
    talk = mmmodal.Chat(model, max_new_tokens=4)
    talk.say("first", images=[picture(1)])
    read: list[int] = []
    hook = model.model.tower("image").register_forward_hook(
        lambda module, args, output: read.append(len(output))
    )
    found = talk.say("second", images=[picture(2), picture(3)])
    hook.remove()
    assert read == [2]
    again = mmmodal.Chat(model, max_new_tokens=4)
    again.say("first", images=[picture(1)])
    again._cache, again._cached_ids = None, []
    assert again.say("second", images=[picture(2), picture(3)]) == found


def test_7_the_trainer_does_not_remove_what_the_collator_reads(tmp_path: Path) -> None:
    assert TrainingArguments(output_dir=str(tmp_path)).remove_unused_columns
    recipe = load_recipe("align", ["model=a", "data=b", f"out={tmp_path / 'out'}"])
    plan = Plan(has_gpu=False, half=None, deepspeed=None, positions=2048, max_tokens=2048)
    assert arguments_of(recipe, tmp_path / "run", plan).remove_unused_columns is False


def test_8_transformers_finds_the_class_where_serving_and_pipelines_look_for_it(
    start: Path,
) -> None:
    """They look a model up by the name of its type; test_modeling.py runs a pipeline."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

    import mmmodal.auto

    name = MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES["mmmodal"]
    assert name == MMModalForConditionalGeneration.__name__
    assert hasattr(mmmodal.auto, name)
    assert isinstance(
        AutoModelForMultimodalLM.from_pretrained(start), MMModalForConditionalGeneration
    )
