"""A composed model is an ordinary transformers model that reads several media per sample."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import AutoModelForCausalLM, GenerationMixin

import mmmodal
from mmmodal.errors import CheckpointError, MMModalError, RenderError, SpliceError
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.loop.trainable import choose
from worlds import answers, batch_of, clip, compose, encoders_of, logits_of, picture, user

Composed = Callable[[str], Path]


@pytest.fixture(scope="module")
def family() -> str:
    return "qwen2"


MIXED = [
    [user(picture(1), clip(1), "What is related?", clip(2, 1.0))],
    [user("Only text")],
    [
        user(clip(3), clip(4, 0.3)),
        {"role": "assistant", "content": "ya"},
        user(picture(2), "and this?"),
    ],
]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_text_only_logits_equal_the_bare_language_model(
    composed: Composed, parts: dict[str, Path], family: str
) -> None:
    bare = AutoModelForCausalLM.from_pretrained(parts[family]).eval()
    ours = mmmodal.load(composed(family))
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        expected, found = bare(ids).logits, ours(ids).logits
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)
    settings: dict[str, Any] = {"max_new_tokens": 20, "do_sample": False}
    assert torch.equal(ours.generate(ids, **settings), bare.generate(ids, **settings))


@pytest.mark.parametrize("family", ["phi", "granite", "gemma2"])
def test_what_a_head_does_to_its_logits_is_kept(
    parts: dict[str, Path], tmp_path: Path, family: str
) -> None:
    from transformers import AutoConfig, AutoTokenizer

    special = {
        "phi": {},
        "granite": {"logits_scaling": 7.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.3},
        "gemma2": {"final_logit_softcapping": 0.5, "head_dim": 16, "query_pre_attn_scalar": 16},
    }[family]
    tokenizer = AutoTokenizer.from_pretrained(parts["llama"])
    tokenizer.save_pretrained(tmp_path / "lm")
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **special,
    )
    torch.manual_seed(0)
    bare = AutoModelForCausalLM.from_config(config).eval()
    if getattr(bare.lm_head, "bias", None) is not None:
        torch.nn.init.normal_(bare.lm_head.bias)
    bare.save_pretrained(tmp_path / "lm")
    compose(tmp_path / "lm", parts, tmp_path / "out", kinds=["image"])
    composed = mmmodal.load(tmp_path / "out")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected, found = bare(ids).logits, composed(ids).logits
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)


def test_left_padded_batch_equals_one_by_one(model: MMModalForConditionalGeneration) -> None:
    batch = batch_of(model, MIXED)
    with torch.no_grad():
        together = model(**batch).logits
    for row, chat in enumerate(MIXED):
        alone = logits_of(model, chat)
        torch.testing.assert_close(together[row, -len(alone) :], alone, atol=1e-5, rtol=0)


def test_swapping_a_neighbour_changes_nothing(model: MMModalForConditionalGeneration) -> None:
    first, second = ([MIXED[0], [user(picture(seed), "hm")]] for seed in (5, 6))
    with torch.no_grad():
        one, two = (model(**batch_of(model, chats)).logits for chats in (first, second))
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[1], two[1])


def test_no_gradient_reaches_the_media_of_another_sample(
    model: MMModalForConditionalGeneration,
) -> None:
    batch = batch_of(model, [[user(picture(1), "a")], [user(picture(2), "b")]])
    batch["pixel_values"].requires_grad_()
    model(**batch).logits[0].sum().backward()
    gradient = batch["pixel_values"].grad
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": False},
        {"num_beams": 3},
        {"num_beams": 4, "num_return_sequences": 2},
        pytest.param(
            {"do_sample": False, "prefill_chunk_size": 16},
            marks=pytest.mark.skipif(
                "mm_encoder_outputs" not in inspect.getsource(GenerationMixin._prefill),
                reason="this version of transformers cannot split a prompt with media into chunks",
            ),
        ),
    ],
    ids=["greedy", "beams", "several beams", "chunked prefill"],
)
def test_generation_in_a_batch_equals_one_by_one(
    model: MMModalForConditionalGeneration, settings: dict[str, Any]
) -> None:
    together = answers(model, MIXED, settings)
    alone = [answer for chat in MIXED for answer in answers(model, [chat], settings)]
    assert together == alone


def test_sampled_sequences_each_read_their_own_media(
    model: MMModalForConditionalGeneration,
) -> None:
    batch = batch_of(model, MIXED)
    settings = {"max_new_tokens": 1, "do_sample": True, "num_return_sequences": 2}
    output = model.generate(
        **batch, **settings, temperature=0.7, output_logits=True, return_dict_in_generate=True
    )
    with torch.no_grad():
        expected = model(**batch, logits_to_keep=1).logits[:, -1].repeat_interleave(2, 0)
    torch.testing.assert_close(output.logits[0], expected, atol=1e-5, rtol=0)


def test_encoded_media_give_the_same_as_raw_media(model: MMModalForConditionalGeneration) -> None:
    batch = dict(batch_of(model, MIXED))
    with torch.no_grad():
        expected = model(**batch).logits
        images = model.get_image_features(batch.pop("pixel_values"))
        frames = {k: batch.pop(k) for k in list(batch) if k.startswith("input_features")}
        clips = model.get_audio_features(**frames)
        given = {"image": images, "audio": clips}
        found = model(**batch, mm_encoder_outputs=given).logits
    assert torch.equal(found, expected)
    assert images.pooler_output.shape == (sum(images.lengths), model.config.text_config.hidden_size)


def test_markers_and_slots_are_never_generated(model: MMModalForConditionalGeneration) -> None:
    never = {i for m in model.processor.preparer.markers.values() for i in (m.begin, m.end, m.slot)}
    batch = batch_of(model, MIXED)
    output = model.generate(**batch, max_new_tokens=64, do_sample=True, temperature=50.0)
    assert not never & set(output[:, batch["input_ids"].shape[1] :].flatten().tolist())


def test_slots_without_media_name_the_sample(model: MMModalForConditionalGeneration) -> None:
    batch = batch_of(model, MIXED)
    batch["pixel_values"] = batch["pixel_values"][:1]
    with pytest.raises(SpliceError, match=r"sample 2 of the batch has .* image slots, but only 0"):
        model(**batch)


def test_saving_and_loading_gives_identical_logits_twice(
    model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    from mmmodal.making.loading import save

    expected = logits_of(model, MIXED[0])
    once = mmmodal.load(save(model, tmp_path / "once"))
    twice = mmmodal.load(save(once, tmp_path / "twice"))
    assert torch.equal(logits_of(once, MIXED[0]), expected)
    assert torch.equal(logits_of(twice, MIXED[0]), expected)
    files = [sorted(p.name for p in (tmp_path / n).iterdir()) for n in ("once", "twice")]
    assert files[0] == files[1]
    assert (tmp_path / "once/config.json").read_text() == (
        tmp_path / "twice/config.json"
    ).read_text()


@pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.20") and find_spec("librosa") is None,
    reason="the pipeline of transformers before 5.20 imports librosa",
)
def test_auto_classes_and_pipeline_load_it(composed: Composed, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")
    code = f"""
import mmmodal.auto
from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor, pipeline
folder = {str(composed("qwen2"))!r}
assert AutoConfig.from_pretrained(folder).modality_names == ["image", "audio"]
model = AutoModelForMultimodalLM.from_pretrained(folder)
processor = AutoProcessor.from_pretrained(folder)
chat = [{{"role": "user", "content": [{{"type": "image", "path": {str(tmp_path / "a.png")!r}}},
                                      {{"type": "text", "text": "hello"}}]}}]
options = dict(tokenize=True, return_dict=True, add_generation_prompt=True)
batch = processor.apply_chat_template(chat, **options)
ids = model.generate(**batch, max_new_tokens=4, do_sample=False)
text = processor.batch_decode(ids[:, batch["input_ids"].shape[1]:], skip_special_tokens=True)[0]
pipe = pipeline("any-to-any", model=folder)
greedy = {{"do_sample": False}}
found = pipe(text=chat, max_new_tokens=4, return_full_text=False, generate_kwargs=greedy)
assert found[0]["generated_text"] == text, (found, text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rendered_prompts_take_media_at_their_markers(
    model: MMModalForConditionalGeneration,
) -> None:
    processor = model.processor
    batch = processor(text="a <image> b <audio></audio> c", images=[picture(1)], audio=[clip(1)])
    ids = batch["input_ids"][0].tolist()
    assert ids.count(processor.preparer.markers["image"].slot) == 16
    with pytest.raises(SpliceError, match="more <image> than image items"):
        processor(text="<image> <image>", images=[picture(1)])


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_text_then_tokens_equals_both_at_once(composed: Composed, family: str) -> None:
    model = mmmodal.load(composed(family))
    pictures, clips = [picture(1), picture(2)], [clip(1)]
    chat = [user(pictures[0], "Which one?", clips[0], "This  one", pictures[1])]
    expected = batch_of(model, [chat])["input_ids"]
    text = model.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    found = model.processor(text=text, images=pictures, audio=clips)["input_ids"]
    assert torch.equal(found, expected)


def test_arguments_of_the_chat_template_are_not_dropped(
    model: MMModalForConditionalGeneration,
) -> None:
    with pytest.raises(RenderError, match=r"not accept 'max_lenght'. Did you mean 'max_length'"):
        model.processor.apply_chat_template([user("x")], tokenize=True, max_lenght=3)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_models_that_do_more_are_composed_and_trained_too(
    parts: dict[str, Path], tmp_path: Path, family: str
) -> None:
    """GPT-2 calls its decoder by position; Gemma multiplies its embeddings."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(parts["llama"])
    tokenizer.save_pretrained(tmp_path / "lm")
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 64, "num_attention_heads": 4}
    more = {"gpt2": {"n_layer": 2}, "gemma2": {"num_hidden_layers": 2, "head_dim": 16}}[family]
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **sizes, **more, **ends)
    ).save_pretrained(tmp_path / "lm")
    composed = compose(tmp_path / "lm", parts, kinds=["image"])
    chat = [user(picture(1), "x")]
    expected = logits_of(composed, chat)
    choose(composed, ["projectors", "markers"])
    torch.testing.assert_close(logits_of(composed, chat), expected, atol=1e-5, rtol=0)


def test_sampling_settings_that_are_half_said_are_saved(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    import json
    import shutil

    shutil.copytree(parts["llama"], tmp_path / "lm")
    settings = {"temperature": 0.9, "top_p": 0.6, "bos_token_id": 1, "eos_token_id": 2}
    (tmp_path / "lm/generation_config.json").write_text(json.dumps(settings))
    compose(tmp_path / "lm", parts, tmp_path / "out", kinds=["image"])
    assert mmmodal.load(tmp_path / "out").generation_config.top_p == 0.6


def test_a_processor_of_other_options_is_refused(composed: Composed, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(composed("llama"), tmp_path / "m")
    path = tmp_path / "m/processor_config.json"
    path.write_text(path.read_text().replace('"select_layer": -2', '"select_layer": -1'))
    with pytest.raises(CheckpointError, match="disagree on the encoder options of"):
        mmmodal.load(tmp_path / "m")


def test_absent_modalities_get_a_zero_gradient_in_training(
    composed: Composed,
) -> None:
    model = mmmodal.load(composed("llama")).train()
    choose(model, ["projectors"])
    batch = batch_of(model, [[user("only text")]])
    model(**batch, labels=batch["input_ids"]).loss.backward()
    for name in ("image", "audio"):
        for parameter in model.model.projector(name).parameters():
            assert parameter.grad is not None and not parameter.grad.any()


def test_new_rows_start_at_the_mean_of_the_others(parts: dict[str, Path], tmp_path: Path) -> None:
    bare = AutoModelForCausalLM.from_pretrained(parts["llama"])
    composed = compose(parts["llama"], parts)
    known = bare.get_input_embeddings().weight
    begin = composed.processor.preparer.markers["image"].begin
    torch.testing.assert_close(composed.get_input_embeddings().weight[begin], known.mean(0))
    assert torch.equal(composed.get_input_embeddings().weight[: len(known)], known)
    assert composed.get_input_embeddings().weight.shape[0] % 64 == 0


def test_a_modality_is_added_to_a_trained_model(parts: dict[str, Path], tmp_path: Path) -> None:
    first = compose(parts["llama"], parts, tmp_path / "one", kinds=["image"])
    expected = logits_of(first, [user(picture(1), "x")])
    ears = encoders_of(parts, "audio")
    mmmodal.compose(tmp_path / "two", from_model=tmp_path / "one", encoders=ears)
    both = mmmodal.load(tmp_path / "two")
    found = logits_of(both, [user(picture(1), "x")])
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, atol=1e-5, rtol=0)
    assert logits_of(both, [user(picture(1), clip(1), "x")]).isfinite().all()
    with pytest.raises(MMModalError, match="has the modality 'image' already"):
        mmmodal.compose(from_model=tmp_path / "two", encoders=encoders_of(parts, "image"))


def test_missing_weights_are_refused_by_name(composed: Composed, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(composed("llama"), tmp_path / "broken")
    weights = load_file(tmp_path / "broken/model.safetensors")
    del weights["model.image_projector.linear_1.weight"]
    save_file(weights, tmp_path / "broken/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"image_projector\.linear_1\.weight"):
        mmmodal.load(tmp_path / "broken")


def test_a_folder_that_is_no_composed_model_says_what_it_is(parts: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="is a 'llama' model, not a composed one"):
        mmmodal.load(parts["llama"])


def test_a_checkpoint_without_its_plugin_names_the_package(composed: Composed) -> None:
    code = f"import mmmodal; mmmodal.load({str(composed('llama'))!r})"
    environment = {"MMMODAL_PLUGINS": "vision-siglip", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode != 0
    assert "mmmodal-audio-whisper" in done.stderr.splitlines()[-1]
