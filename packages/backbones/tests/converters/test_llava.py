"""LLaVA with a SigLIP tower, against transformers' own class on tiny random weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipImageProcessor,
    SiglipVisionConfig,
)

import mmmodal
from mmmodal.converting.weights import Weights
from mmmodal.errors import MMModalError
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.tiny_language import tiny_language_model
from worlds import picture, record, user, write_lines

SIDE = 32
LIST_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    path = tiny_language_model(folder, "qwen2")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    image = AddedToken("<image>", special=True, normalized=False)
    tokenizer.add_tokens([image], special_tokens=True)
    return tokenizer


def _vision(kind: str = "siglip") -> Any:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    return SiglipVisionConfig(**sizes) if kind == "siglip" else CLIPVisionConfig(**sizes)


def _text(size: int, family: str, given: dict[str, int]) -> Any:
    sizes = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        **given,
    }
    if family == "qwen2":
        return Qwen2Config(**sizes, tie_word_embeddings=True)
    return LlamaConfig(**sizes, bos_token_id=None, eos_token_id=None)


@torch.no_grad()
def _save(folder: Path, *, family: str = "qwen2", tower: str = "siglip", **values: Any) -> Any:
    """Save a tiny LLaVA and return it; its parameters are far from their usual small ones."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(folder.parent / f"{folder.name}-tokenizer")
    image = tokenizer.convert_tokens_to_ids("<image>")
    text = values.pop("text", {})
    settings = {"vision_feature_layer": -2, "vision_feature_select_strategy": "full", **values}
    config = LlavaConfig(
        vision_config=_vision(tower),
        text_config=_text(len(tokenizer), family, text),
        image_token_index=image,
        image_seq_length=16,
        **settings,
    )
    model = LlavaForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return model


def seen(number: int) -> Image.Image:
    return picture(number, (30 + number, 40))


CHATS = {
    "one image": [["image", "What is in picture 1?"]],
    "two images": [["image", "image", "What is related between image 1 and image 2?"]],
    "images in several places": [["Describe", "image", "and", "image", "please."]],
    "text alone": [["Hello!"]],
}


@torch.no_grad()
def _compare(theirs: Any, ours: Any) -> None:
    for title, turns in CHATS.items():
        count = 0
        chat = []
        for parts in turns:
            content: list[dict[str, Any]] = []
            for part in parts:
                if part == "image":
                    content.append({"type": "image", "image": seen(count)})
                    count += 1
                else:
                    content.append({"type": "text", "text": part})
            chat.append({"role": "user", "content": content})
        batch = ours.processor.apply_chat_template(
            chat, tokenize=True, return_dict=True, add_generation_prompt=True
        )
        assert batch["input_ids"].max() < theirs.config.text_config.vocab_size
        expected = theirs(**batch).logits
        found = ours(**batch).logits[..., : expected.shape[-1]]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, msg=title)


@pytest.mark.parametrize("family", ["qwen2", "llama"])
@pytest.mark.parametrize("layer", [-2, -1, 2])
@pytest.mark.parametrize("strategy", ["full", "default"])
def test_logits_are_those_of_transformers(
    family: str, layer: int, strategy: str, tmp_path: Path
) -> None:
    theirs = _save(
        tmp_path / "llava",
        family=family,
        vision_feature_layer=layer,
        vision_feature_select_strategy=strategy,
    )
    if strategy == "default":
        theirs.config.image_seq_length = 15
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    _compare(theirs, mmmodal.load(tmp_path / "ours", device="cpu"))


@pytest.mark.parametrize("layout", ["old", "new"])
def test_both_layouts_of_names_are_read(layout: str, tmp_path: Path) -> None:
    theirs = _save(tmp_path / "llava", family="llama")
    tensors = theirs.state_dict()
    if layout == "old":
        tensors = {_old_name(name): value for name, value in tensors.items()}
    _store(tmp_path / "llava", tensors)
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    _compare(theirs, mmmodal.load(tmp_path / "ours", device="cpu"))


def _old_name(name: str) -> str:
    """Name a tensor as transformers 4.51 and older did."""
    for new, old in (
        ("model.language_model.", "language_model.model."),
        ("model.vision_tower.vision_model.", "vision_tower.vision_model."),
        ("model.vision_tower.", "vision_tower.vision_model."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
        ("lm_head.", "language_model.lm_head."),
    ):
        if name.startswith(new):
            return old + name.removeprefix(new)
    raise AssertionError(name)


def _store(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    for path in folder.glob("model*"):
        path.unlink()
    copies = {name: value.clone().contiguous() for name, value in tensors.items()}
    save_file(copies, folder / "model.safetensors", {"format": "pt"})


def test_a_template_that_wants_lists_of_parts_is_made_to_take_texts(tmp_path: Path) -> None:
    _save(tmp_path / "llava")
    (tmp_path / "llava" / "chat_template.jinja").write_text(LIST_TEMPLATE, encoding="utf-8")
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    processor = mmmodal.load(tmp_path / "ours", device="cpu").processor
    text = processor.apply_chat_template([user(seen(0), "Apa ini?")])
    assert text == "<|im_start|>user\n<image>Apa ini?<|im_end|>\n"


def test_a_converted_llava_chats_and_never_writes_a_slot(tmp_path: Path) -> None:
    _save(tmp_path / "llava")
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    model = mmmodal.load(tmp_path / "ours", device="cpu")
    chat = mmmodal.Chat(model, max_new_tokens=4)
    reused = [
        chat.say("What is this?", images=[seen(0), seen(1)]),
        chat.say("And this?", images=[seen(2)]),
        chat.say("Both?"),
    ]
    whole = mmmodal.Chat(model, max_new_tokens=4)
    recomputed = []
    for text, images in (("What is this?", [0, 1]), ("And this?", [2]), ("Both?", [])):
        whole._cache = None
        media = {"images": [seen(number) for number in images]} if images else {}
        recomputed.append(whole.say(text, **media))
    assert reused == recomputed
    assert "<image>" not in "".join(reused)


def test_a_converted_llava_is_trained_though_it_has_no_markers(tmp_path: Path) -> None:
    _save(tmp_path / "llava")
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    row = record("1", ("image", "0.png"), asked="What is this?", answer="Yes.")
    write_lines(tmp_path / "data.jsonl", [row])
    seen(0).save(tmp_path / "0.png")
    settings = [f"model={tmp_path / 'ours'}", f"data={tmp_path / 'data.jsonl'}"]
    settings += [f"out={tmp_path / 'out'}", "batch_size=1", "max_steps=2", "max_tokens=128"]
    run_stage(load_recipe("align", settings))
    before, after = (
        mmmodal.load(tmp_path / name, device="cpu").state_dict() for name in ("ours", "out")
    )
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"image_projector"}


def test_typed_image_tokens_are_text(tmp_path: Path) -> None:
    _save(tmp_path / "llava")
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    processor = mmmodal.load(tmp_path / "ours", device="cpu").processor
    chat = [{"role": "user", "content": [{"type": "text", "text": "say <image>"}]}]
    ids = processor.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"]
    assert processor.preparer.markers["image"].slot not in ids[0].tolist()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"tower": "clip"}, "vision tower is 'clip_vision_model'"),
        ({"vision_feature_layer": [-2, -3]}, "joins several layers"),
        ({"projector_hidden_act": "relu"}, "'relu'"),
        ({"multimodal_projector_bias": False}, "no bias"),
    ],
)
def test_what_is_not_converted_is_refused_by_name(
    values: dict[str, Any], told: str, tmp_path: Path
) -> None:
    _save(tmp_path / "llava", **values)
    with pytest.raises(MMModalError, match=told) as caught:
        mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    assert str(tmp_path / "llava") in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_an_image_token_that_the_tokenizer_lacks_is_refused(tmp_path: Path) -> None:
    _save(tmp_path / "llava")
    path = tmp_path / "llava" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("image_token_index", "image_token_id"):
        config[key] = 7
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(MMModalError, match="is not an added token"):
        mmmodal.convert(tmp_path / "llava", tmp_path / "ours")


def test_a_head_that_only_claims_to_be_tied_is_refused(tmp_path: Path) -> None:
    theirs = _save(tmp_path / "llava")
    tensors = dict(theirs.state_dict())
    tensors["lm_head.weight"] = tensors["lm_head.weight"] + 1
    _store(tmp_path / "llava", tensors)
    with pytest.raises(MMModalError, match="differ"):
        mmmodal.convert(tmp_path / "llava", tmp_path / "ours")


def test_nothing_of_the_checkpoint_is_lost(tmp_path: Path) -> None:
    theirs = _save(tmp_path / "llava", family="llama")
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours")
    ours = load_file(tmp_path / "ours" / "model.safetensors")
    stored = theirs.state_dict()
    assert torch.equal(ours["lm_head.weight"], stored["lm_head.weight"])
    layers = [name for name in stored if name.startswith("model.language_model.")]
    assert layers and all(torch.equal(ours[name], stored[name]) for name in layers)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_one_shard_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12}
    _save(tmp_path / "llava", family="llama", text=sizes)
    stored = sum(path.stat().st_size for path in (tmp_path / "llava").glob("*.safetensors"))
    used: list[int] = []
    get = Weights.get

    def watched(self: Weights, name: str) -> torch.Tensor:
        used.append(_private_bytes())
        return get(self, name)

    monkeypatch.setattr(Weights, "get", watched)
    before = _private_bytes()
    mmmodal.convert(tmp_path / "llava", tmp_path / "ours", shard_bytes=stored // 10)
    assert len(list((tmp_path / "ours").glob("model-*"))) >= 10
    assert max(used) - before < stored / 3
    _compare(
        LlavaForConditionalGeneration.from_pretrained(tmp_path / "llava").eval(),
        mmmodal.load(tmp_path / "ours", device="cpu"),
    )


def _private_bytes() -> int:
    """Return the memory that this process holds, without files that are mapped into it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return 1024 * int(line.split()[1])
