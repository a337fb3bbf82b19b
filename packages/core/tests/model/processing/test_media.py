"""Media in every shape that transformers' processors take give the same as media in a chat."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mmmodal.errors import MediaError, RenderError, SpliceError
from mmmodal.making.loading import load_processor
from mmmodal.model.processing import MMModalProcessor
from worlds import picture, user

RATE = 16_000
TONE = (np.sin(np.arange(RATE // 2) / 20) * 0.5).astype(np.float32)
PIXELS = np.asarray(picture(1).convert("RGB"))


@pytest.fixture(scope="module")
def processor(start: Path) -> MMModalProcessor:
    return load_processor(start)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    Image.fromarray(PIXELS).save(folder / "a.png")
    soundfile.write(folder / "a.wav", TONE, RATE, subtype="FLOAT")
    return {"image": folder / "a.png", "audio": folder / "a.wav"}


def same(one: Any, other: Any) -> bool:
    return set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


IMAGES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text of a path": str,
    "bytes": lambda path: path.read_bytes(),
    "base64": encoded,
    "data URI": lambda path: f"data:image/png;base64,{encoded(path)}",
    "row of datasets with bytes": lambda path: {"bytes": path.read_bytes(), "path": "lost.png"},
    "row of datasets with a path": lambda path: {"bytes": None, "path": str(path)},
    "Pillow": Image.open,
    "numpy HWC": lambda _: PIXELS,
    "numpy CHW": lambda _: PIXELS.transpose(2, 0, 1),
    "floats": lambda _: PIXELS / 255,
    "torch HWC": lambda _: torch.tensor(PIXELS),
    "torch CHW": lambda _: torch.tensor(PIXELS).permute(2, 0, 1),
    "torch floats": lambda _: torch.tensor(PIXELS).permute(2, 0, 1) / 255,
    "array of four axes": lambda _: PIXELS[None],
}

SOUNDS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text of a path": str,
    "bytes": lambda path: path.read_bytes(),
    "base64": encoded,
    "data URI": lambda path: f"data:audio/wav;base64,{encoded(path)}",
    "row of datasets": lambda path: {"bytes": path.read_bytes(), "path": None},
    "array and rate": lambda _: (TONE, RATE),
    "rate and array": lambda _: (RATE, TONE),
    "list of array and rate": lambda _: [TONE, RATE],
    "decoded row": lambda _: {"array": TONE, "sampling_rate": RATE},
    "decoded row with a path": lambda _: {"path": "a", "array": TONE, "sampling_rate": RATE},
    "torch and rate": lambda _: (torch.tensor(TONE), RATE),
    "numbers and rate": lambda _: (TONE.tolist(), RATE),
}


@pytest.mark.parametrize("shape", IMAGES)
def test_an_image_in_any_shape(
    processor: MMModalProcessor, files: dict[str, Path], shape: str
) -> None:
    expected = processor(text="<image> a", images=[str(files["image"])])
    value = IMAGES[shape](files["image"])
    found = [processor(text="<image> a", images=given) for given in (value, [value], [[value]])]
    found.append(processor(text=["<image> a"], image=[value]))
    chat = [{"role": "user", "content": [{"type": "image", "image": value}]}]
    plain = [{"role": "user", "content": [{"type": "image", "path": str(files["image"])}]}]
    assert all(same(each, expected) for each in found)
    if shape != "array of four axes":
        assert same(as_batch(processor, chat), as_batch(processor, plain))


def as_batch(processor: MMModalProcessor, chat: Any, **given: Any) -> Any:
    return processor.apply_chat_template(chat, tokenize=True, return_dict=True, **given)


@pytest.mark.parametrize("shape", SOUNDS)
def test_a_sound_in_any_shape(
    processor: MMModalProcessor, files: dict[str, Path], shape: str
) -> None:
    expected = processor(text="<audio> a", audio=[str(files["audio"])])
    value = SOUNDS[shape](files["audio"])
    found = [processor(text="<audio> a", audio=given) for given in (value, [value], [[value]])]
    found.append(processor(text=["<audio> a"], audios=[value], sampling_rate=8_000))
    chat = [{"role": "user", "content": [{"type": "audio", "audio": value}]}]
    plain = [{"role": "user", "content": [{"type": "audio", "path": str(files["audio"])}]}]
    assert all(same(each, expected) for each in found)
    assert same(as_batch(processor, chat), as_batch(processor, plain))


@pytest.mark.parametrize("make", [np.asarray, torch.tensor, lambda array: array.tolist()])
def test_a_rate_is_that_of_samples_without_one(
    processor: MMModalProcessor, make: Callable[[Any], Any]
) -> None:
    at_8_khz = processor(text="<audio>", audio=(TONE, 8_000))
    samples = make(TONE)
    for given in ({"sampling_rate": 8_000}, {"audio_kwargs": {"sampling_rate": 8_000}}):
        assert same(processor(text="<audio>", audio=samples, **given), at_8_khz)
        chat = [{"role": "user", "content": [{"type": "audio", "audio": samples}]}]
        pair = [{"role": "user", "content": [{"type": "audio", "audio": (TONE, 8_000)}]}]
        expected = as_batch(processor, pair)
        assert same(as_batch(processor, chat, processor_kwargs=given), expected)
        assert same(as_batch(processor, chat, **given), expected)
    with pytest.warns(UserWarning, match="the encoder's, 16,000 Hz"):
        bare = processor(text="<audio>", audio=samples)
    assert same(bare, processor(text="<audio>", audio=(TONE, RATE)))


A, B, C = (picture(seed) for seed in (1, 2, 3))


@pytest.mark.parametrize(
    ("prompts", "given", "expected"),
    [
        (["<image><image> a", "<image> b"], [A, B, C], [[A, B], [C]]),
        (["<image><image> a", "<image> b"], (A, B, C), [[A, B], [C]]),
        (["<image><image> a", "<image> b"], [[A, B], [C]], [[A, B], [C]]),
        (["<image><image> a", "<image> b"], [[A, B], C], [[A, B], [C]]),
        (["<image> a", "<image> b"], [A, B], [[A], [B]]),
        (["<image> a", "<image> b"], [[A], [B]], [[A], [B]]),
        (["<image> a", "no"], [A], [[A], []]),
        (["<image> a", "no"], A, [[A], []]),
        (["<image> a", "no"], [[A], []], [[A], []]),
        (["<image> a", "no"], [[A], None], [[A], []]),
        (["no", "<image> a"], [None, [A]], [[], [A]]),
        (["no", "<image> <image>"], [A, B], [[], [A, B]]),
        (["no", "never"], None, [[], []]),
        (["no", "never"], [], [[], []]),
        (["no", "never"], [[], []], [[], []]),
        (["<image><image>"], [[A], [B]], [[A, B]]),
        (["<|image|> a <image></image>"], [A, B], [[A, B]]),
        (["<|image|><|image|>", "<image><|image|></image>"], [A, B, C], [[A, B], [C]]),
    ],
)
def test_media_are_given_to_the_prompts_in_order(
    processor: MMModalProcessor, prompts: list[str], given: Any, expected: list[list[Any]]
) -> None:
    batch = processor(text=prompts, images=given)
    rows = [
        processor(text=prompt, images=media)
        for prompt, media in zip(prompts, expected, strict=True)
    ]
    for i, row in enumerate(rows):
        kept = batch["attention_mask"][i].bool()
        assert torch.equal(batch["input_ids"][i][kept], row["input_ids"][0])
    pixels = [row["pixel_values"] for row in rows if "pixel_values" in row]
    assert ("pixel_values" in batch) == bool(pixels)
    if pixels:
        assert torch.equal(batch["pixel_values"], torch.cat(pixels))


@pytest.mark.parametrize(
    ("prompts", "media", "words"),
    [
        ("<image> What?", {}, "prompt 0 has 1 <image>, but no image was given"),
        ("<image> What?", {"images": None}, "prompt 0 has 1 <image>, but no image was given"),
        ("<|image|> What?", {}, "prompt 0 has 1 <image>, but no image was given"),
        (["a", "<audio>"], {}, "prompt 1 has 1 <audio>, but no audio was given"),
        ("<image> <audio>", {"images": [A]}, "prompt 0 has 1 <audio>, but no audio"),
        ("<image> What?", {"images": []}, "has more <image> than image items given: 1 and 0"),
        ("<image><image>", {"images": [A]}, "has more <image> than image items given: 2 and 1"),
        ("What?", {"images": [A]}, "prompt 0 has fewer <image> than image items given: 0 and 1"),
        ("<image>", {"images": [A, B]}, "has fewer <image> than image items given: 1 and 2"),
        (["<image>", "b"], {"images": [A, B]}, "the prompts have fewer <image> .* 1 and 2"),
        (["<image>", "b"], {"images": [[], [A]]}, "prompt 0 has more <image> .*: 1 and 0"),
        (["<image>", "b"], {"images": [[A], [], []]}, "3 lists of image items .* for 2 prompts"),
    ],
)
def test_placeholders_and_media_agree(
    processor: MMModalProcessor, prompts: Any, media: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpliceError, match=words):
        processor(text=prompts, **media)


def test_media_without_text_are_tensors(processor: MMModalProcessor) -> None:
    expected = processor(text="<image><image>", images=[A, B])["pixel_values"]
    for given in ([A, B], [[A], [B]], np.stack([np.asarray(A), np.asarray(B)])):
        alone = processor(images=given)
        assert set(alone) == {"pixel_values"}
        assert torch.equal(alone["pixel_values"], expected)
    assert torch.equal(processor.image_processor(images=[A, B])["pixel_values"], expected)
    found = processor.image_processor([A, B], return_tensors="np")["pixel_values"]
    assert np.array_equal(found, expected.numpy())


PLACEHOLDERS = [
    {"type": "image"},
    {"type": "image", "image": None},
    {"type": "image", "text": None},
]


@pytest.mark.parametrize("part", PLACEHOLDERS)
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_placeholders_and_then_media_equal_media_in_the_chat(
    composed: Callable[[str], Path], family: str, part: dict[str, Any]
) -> None:
    processor = load_processor(composed(family))
    chats = [[user(part, "Which?", part)], [user("What?", part)]]
    filled = [[user(A, "Which?", B)], [user("What?", C)]]
    given: dict[str, Any] = {"add_generation_prompt": True}
    expected = as_batch(processor, filled, **given)
    texts = processor.apply_chat_template(chats, **given)
    assert [text.count("<image></image>") for text in texts] == [2, 1]
    assert texts == processor.apply_chat_template(filled, **given)
    for images in ([A, B, C], [[A, B], [C]]):
        assert same(processor(text=texts, images=images), expected)
        beside = as_batch(processor, chats, **given, processor_kwargs={"images": images})
        assert same(beside, expected)
    alone = as_batch(processor, chats[0], **given, processor_kwargs={"images": [A, B]})
    assert same(alone, as_batch(processor, filled[0], **given))


def test_a_placeholder_that_stays_empty_is_refused(processor: MMModalProcessor) -> None:
    chat = [user({"type": "image"}, "What?")]
    with pytest.raises(RenderError, match="a part of type 'image' has no medium; set 'image'"):
        as_batch(processor, chat)
    with pytest.raises(SpliceError, match="prompt 0 has fewer parts without a medium"):
        as_batch(processor, chat, processor_kwargs={"images": [A, B]})


def test_a_typed_marker_is_no_placeholder_of_a_chat(processor: MMModalProcessor) -> None:
    chat = [user(A, "is <image> or <|image|>?")]
    assert as_batch(processor, chat)["pixel_values"].shape[0] == 1
    text = processor.apply_chat_template(chat)
    with pytest.raises(SpliceError, match="more <image> than image items given: 3 and 1"):
        processor(text=text, images=[A])


@pytest.mark.parametrize(
    "value", ["nowhere.png", "a" * 63, "a" * 64 + "!", "a/b" * 40, 3, object()]
)
def test_what_is_no_medium_is_refused(processor: MMModalProcessor, value: Any) -> None:
    with pytest.raises(MediaError):
        processor(text="<image>", images=value)


def test_a_file_whose_name_could_be_base64_is_a_file(
    processor: MMModalProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    A.save(tmp_path / ("a" * 64), "PNG")
    monkeypatch.chdir(tmp_path)
    assert same(processor(text="<image>", images="a" * 64), processor(text="<image>", images=A))


def test_what_lm_eval_sends(processor: MMModalProcessor) -> None:
    """Its hf-multimodal puts the text of `image_token_id` or placeholders into prompts."""
    token = processor.tokenizer.decode([processor.image_token_id])
    assert token == processor.image_token
    parts = [{"type": "image", "image": None}, {"type": "text", "text": "What?"}]
    chat = [{"role": "user", "content": parts}]
    applied = processor.apply_chat_template(
        chat, add_generation_prompt=True, continue_final_message=False
    )
    for text in (applied, f"{token} What?"):
        batch = processor(
            images=[[A], [B]],
            text=[text, f"{text} And more?"],
            truncation=False,
            padding="longest",
            return_tensors="pt",
        )
        rows = [
            processor(images=image, text=prompt, return_tensors=None)
            for image, prompt in ((A, text), (B, f"{text} And more?"))
        ]
        for i, row in enumerate(rows):
            (ids,) = row.pop("input_ids")
            row.pop("attention_mask")
            assert batch["input_ids"][i, -len(ids) :].tolist() == ids
            assert torch.equal(torch.as_tensor(row["pixel_values"])[0], batch["pixel_values"][i])


def test_names_that_tools_ask_for(processor: MMModalProcessor) -> None:
    batch = processor(text="<image> <audio>", images=[A], audio=(TONE, RATE))
    assert processor.model_input_names[:2] == ["input_ids", "attention_mask"]
    assert len(set(processor.model_input_names)) == len(processor.model_input_names)
    assert set(processor.model_input_names) == set(batch)
    ids = batch["input_ids"]
    for kind, count in (("image", 16), ("audio", None)):
        slot = getattr(processor, f"{kind}_token_id")
        assert (
            processor.tokenizer.convert_tokens_to_ids(getattr(processor, f"{kind}_token")) == slot
        )
        assert (ids == slot).sum() == count or count is None
    assert processor.feature_extractor.sampling_rate == RATE
    assert processor.feature_extractor.model_input_names[0] == "input_features"
    assert processor.image_processor.model_input_names == ["pixel_values"]
    assert not hasattr(processor, "video_processor")
    assert not hasattr(processor.image_processor, "sampling_rate")
    text = processor.post_process_image_text_to_text(ids)
    assert text == processor.batch_decode(ids, skip_special_tokens=True)


def test_bytes_in_memory(processor: MMModalProcessor, files: dict[str, Path]) -> None:
    stream = io.BytesIO(files["image"].read_bytes())
    expected = processor(text="<image>", images=str(files["image"]))
    assert same(processor(text="<image>", images=stream.getvalue()), expected)
