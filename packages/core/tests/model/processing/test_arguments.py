"""Every argument of transformers' processors acts, or is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoProcessor
from transformers.utils import PaddingStrategy, TensorType

import mmmodal
from mmmodal.errors import MMModalError, RenderError, SpliceError
from mmmodal.making.loading import load_processor
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.processing import MMModalProcessor
from worlds import clip, picture, user

LONG, SHORT = "a a a", "a"  # four tokens, and one
ANSWERED = [user("hi"), {"role": "assistant", "content": "hello"}]


@pytest.fixture
def processor(start: Path) -> MMModalProcessor:
    """A processor of its own for each test, which may set it up."""
    return load_processor(start)


def rows(batch: Any) -> list[list[int]]:
    """Return the ids of each row without padding."""
    pairs = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [[int(i) for i, kept in zip(ids, mask, strict=True) if kept] for ids, mask in pairs]


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({}, (2, 4)),
        ({"padding": True}, (2, 4)),
        ({"padding": "longest"}, (2, 4)),
        ({"padding": PaddingStrategy.LONGEST}, (2, 4)),
        ({"padding": "max_length", "max_length": 16}, (2, 16)),
        ({"padding": "max_length", "max_length": 2}, (2, 4)),
        ({"pad_to_multiple_of": 8}, (2, 8)),
        ({"padding": True, "pad_to_multiple_of": 8, "padding_side": "right"}, (2, 8)),
        ({"text_kwargs": {"padding": "max_length", "max_length": 9}}, (2, 9)),
        ({"text_kwargs": {"pad_to_multiple_of": 8}, "pad_to_multiple_of": 5}, (2, 5)),
        ({"truncation": True, "max_length": 2}, (2, 2)),
        ({"truncation": "longest_first", "max_length": 3}, (2, 3)),
        ({"max_length": 3}, (2, 3)),
        ({"padding": True, "truncation": True, "max_length": 3, "pad_to_multiple_of": 2}, (2, 4)),
        ({"truncation": False, "max_length": 2}, (2, 4)),
        ({"truncation": "do_not_truncate", "max_length": 2}, (2, 4)),
        ({"truncation": None, "padding": None}, (2, 4)),
        ({"return_tensors": TensorType.PYTORCH}, (2, 4)),
        ({"return_tensors": "np"}, (2, 4)),
        ({"common_kwargs": {"return_tensors": "np"}}, (2, 4)),
        ({"images_kwargs": {}, "audio_kwargs": None, "videos": None, "images": None}, (2, 4)),
        ({"verbose": False, "return_token_type_ids": False, "device": "cpu"}, (2, 4)),
    ],
)
def test_padding_and_truncation_act(
    processor: MMModalProcessor, given: dict[str, Any], shape: tuple[int, int]
) -> None:
    whole = rows(processor(text=[LONG, SHORT]))
    assert [len(row) for row in whole] == [4, 1]
    batch = processor(text=[LONG, SHORT], **given)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == shape
    found = rows(batch)
    assert found == [row[: len(kept)] for row, kept in zip(whole, found, strict=True)]
    chats = [[user(LONG)], [user(SHORT)]]
    together = processor.apply_chat_template(
        chats, tokenize=True, return_dict=True, processor_kwargs=given
    )
    flat = processor.apply_chat_template(chats, tokenize=True, return_dict=True, **given)
    assert rows(together) == rows(flat)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_of_padding_is_that_of_the_call_the_tokenizer_or_the_load(
    processor: MMModalProcessor, start: Path, side: str
) -> None:
    expected = [0, 0, 0, 1] if side == "left" else [1, 0, 0, 0]

    def mask(of: MMModalProcessor, **given: Any) -> Any:
        return of(text=[LONG, SHORT], **given)["attention_mask"][1].tolist()

    assert mask(processor) == [0, 0, 0, 1]
    assert mask(processor, padding_side=side) == expected
    assert mask(processor, text_kwargs={"padding_side": side}) == expected
    assert mask(AutoProcessor.from_pretrained(start, padding_side=side)) == expected
    processor.tokenizer.padding_side = side
    assert mask(processor) == expected


def test_truncation_is_on_the_side_of_the_tokenizer(processor: MMModalProcessor) -> None:
    (whole,) = rows(processor(text=LONG))
    processor.tokenizer.truncation_side = "left"
    assert rows(processor(text=LONG, truncation=True, max_length=2)) == [whole[-2:]]


def test_truncation_never_cuts_a_medium(processor: MMModalProcessor) -> None:
    prompt = "<image> What is it, my dear?"
    whole = processor(text=prompt, images=picture(1))
    (ids,) = rows(whole)
    last = ids.index(processor.preparer.markers["image"].end)
    cut = processor(text=prompt, images=picture(1), truncation=True, max_length=last + 2)
    assert rows(cut) == [ids[: last + 2]]
    for length in (1, 5, last):
        with pytest.raises(SpliceError, match="prompt 0 has .* would cut its media"):
            processor(text=prompt, images=picture(1), truncation=True, max_length=length)
    with pytest.raises(SpliceError, match="would cut its media"):
        processor.apply_chat_template(
            [user(picture(1), "x")], tokenize=True, truncation=True, max_length=5
        )


def test_a_length_without_effect_is_refused(processor: MMModalProcessor) -> None:
    with pytest.raises(RenderError, match="max_length=3 has no effect on padding=True"):
        processor(text=LONG, padding=True, max_length=3)


def test_lists_are_as_long_as_their_rows(processor: MMModalProcessor) -> None:
    whole = rows(processor(text=[LONG, SHORT]))
    for given in ({"padding": False}, {"return_tensors": None}, {"padding": "do_not_pad"}):
        batch = processor(text=[LONG, SHORT], **given)
        assert batch["input_ids"] == whole
        assert batch["attention_mask"] == [[1] * len(row) for row in whole]
    padded = processor(text=[LONG, SHORT], return_tensors=None, padding=True)
    assert isinstance(padded["input_ids"], list)
    assert [len(row) for row in padded["input_ids"]] == [4, 4]
    processor.text_kwargs = {"return_tensors": None}
    assert processor(text=[LONG, SHORT])["input_ids"] == whole
    for kind in ("pt", "np"):
        with pytest.raises(RenderError, match="different lengths cannot be one tensor"):
            processor(text=[LONG, SHORT], padding=False, return_tensors=kind)


def test_numpy_is_numpy_for_media_too(processor: MMModalProcessor) -> None:
    given = {"images": picture(1), "audio": clip(1)}
    tensors = processor(text="<image> <audio>", **given)
    arrays = processor(text="<image> <audio>", **given, return_tensors="np")
    assert set(tensors) == set(arrays)
    for key, value in arrays.items():
        assert isinstance(value, np.ndarray)
        assert np.array_equal(value, tensors[key].numpy())


def test_the_mask_of_attention_can_be_left_out(processor: MMModalProcessor) -> None:
    assert set(processor(text=LONG, return_attention_mask=False)) == {"input_ids"}


def test_special_tokens_are_added_where_they_are_asked_for(processor: MMModalProcessor) -> None:
    tokenizer = processor.tokenizer
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    around = [(tokenizer.bos_token, bos), (tokenizer.eos_token, eos)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{around[0][0]} $A {around[1][0]}", special_tokens=around
    )
    (bare,) = rows(processor(text=LONG, add_special_tokens=False))
    assert rows(processor(text=LONG)) == [bare]
    for given in ({"add_special_tokens": True}, {"text_kwargs": {"add_special_tokens": True}}):
        assert rows(processor(text=LONG, **given)) == [[bos, *bare, eos]]
    chat = [user(picture(1), "x")]
    asked: dict[str, Any] = {"tokenize": True, "return_dict": True}
    (plain,) = rows(processor.apply_chat_template(chat, **asked))
    (added,) = rows(processor.apply_chat_template(chat, **asked, add_special_tokens=True))
    assert added == [bos, *plain, eos]
    processor.chat_template = "{{ bos_token }}" + processor.chat_template
    (begun,) = rows(processor.apply_chat_template(chat, **asked, add_special_tokens=True))
    assert begun[:2] == [bos, plain[0]]  # as in transformers, not twice


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"imges": 1}, r"does not accept 'imges'. Did you mean 'images'\?"),
        ({"pading": True}, r"does not accept 'pading'. Did you mean 'padding'\?"),
        ({"depth": 1}, "does not accept 'depth'. Known: .*audio"),
        ({"text_kwargs": {"pading": True}}, "does not accept 'pading' of text_kwargs. Did you"),
        ({"do_resize": False}, "do_resize=False: how media are preprocessed is an option of the"),
        ({"images_kwargs": {"do_resize": False}}, "do_resize=False of images_kwargs: how media"),
        ({"audio_kwargs": {"padding": True}}, "padding=True of audio_kwargs"),
        ({"size": {"height": 8}}, "does not accept size="),
        ({"return_token_type_ids": True}, "return_token_type_ids=True: this processor cannot"),
        ({"return_offsets_mapping": True}, "return_offsets_mapping=True"),
        ({"return_mm_token_type_ids": True}, "return_mm_token_type_ids=True"),
        ({"is_split_into_words": True}, "is_split_into_words=True"),
        ({"text_pair": "x"}, "does not accept text_pair"),
        ({"stride": 2}, "does not accept stride=2"),
        ({"device": "cuda"}, "does not accept device='cuda'"),
        ({"truncation": "only_second", "max_length": 2}, "truncation"),
        ({"padding": "widest"}, "padding"),
        ({"padding_side": "top"}, "padding_side"),
        ({"max_length": 0}, "max_length"),
        ({"max_length": -8}, "max_length"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of"),
        ({"return_tensors": "tf"}, "return_tensors"),
        ({"videos": [1]}, "does not accept 'videos'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    processor: MMModalProcessor, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:  # as stock processors raise
        processor(text=LONG, **given)
    assert isinstance(caught.value, MMModalError)
    with pytest.raises(MMModalError, match=words):
        processor.apply_chat_template([user(LONG)], tokenize=True, **given)
    with pytest.raises(MMModalError, match=words):
        processor.apply_chat_template([user(LONG)], processor_kwargs=given)


@pytest.mark.parametrize("text", [[], [["a", "b"]], 3, [None], ["a", 1], ("a", b"b")])
def test_text_is_a_prompt_or_prompts(processor: MMModalProcessor, text: Any) -> None:
    with pytest.raises(RenderError, match="text must be a prompt, or a list"):
        processor(text=text)


def test_no_input_is_refused(processor: MMModalProcessor) -> None:
    with pytest.raises(RenderError, match="nothing was given"):
        processor()


def test_a_rate_without_sound_is_refused(composed: Callable[[str], Path], parts: Any) -> None:
    from worlds import compose

    pictures = compose(parts["llama"], parts, kinds=["image"]).processor
    with pytest.raises(RenderError, match="no modality of this model has a sampling_rate"):
        pictures(text="x", sampling_rate=16_000)


TEMPLATE = (
    "{% if date_string is defined %}{{ date_string }}{{ eos_token }}{% endif %}"
    "{% if tools %}{{ tools[0]['function']['name'] }}{{ eos_token }}{% endif %}"
    "{% if documents %}{{ documents[0]['text'] }}{{ eos_token }}{% endif %}"
    "{% for message in messages %}{{ message['role'] }}:{{ message['content'] | trim }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant:"
    "{% if enable_thinking is defined and not enable_thinking %}(no thought){% endif %}{% endif %}"
)


def lookup(word: str) -> str:
    """Look up a word.

    Args:
        word: the word.
    """
    return word


@pytest.mark.parametrize(
    ("given", "start_", "end"),
    [
        ({}, "user:hi</s>", "assistant:"),
        ({"enable_thinking": False}, "user:hi</s>", "assistant:(no thought)"),
        ({"enable_thinking": True}, "user:hi</s>", "assistant:"),
        ({"date_string": "1 May"}, "1 May</s>user", "assistant:"),
        ({"tools": [lookup]}, "lookup</s>user", "assistant:"),
        ({"tools": []}, "user:hi", "assistant:"),
        ({"documents": [{"title": "a", "text": "facts"}]}, "facts</s>user", "assistant:"),
    ],
)
def test_another_template_and_its_variables_act(
    processor: MMModalProcessor, given: dict[str, Any], start_: str, end: str
) -> None:
    chat = [user("hi")]
    settings = {"chat_template": TEMPLATE, "add_generation_prompt": True, **given}
    text = processor.apply_chat_template(chat, **settings)
    assert text.startswith(start_) and text.endswith(end)
    plain = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, **settings
    )
    assert text == plain
    ids = processor.apply_chat_template(chat, tokenize=True, **settings)
    assert processor.decode(ids[0]).replace(" ", "") == text.replace(" ", "")
    assert processor.apply_chat_template(chat, add_generation_prompt=True) != text
    processor.chat_template = TEMPLATE  # as trainers set it
    del settings["chat_template"]
    assert processor.apply_chat_template(chat, **settings) == text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"enable_thinking": False}, "does not accept 'enable_thinking'"),
        ({"date_strin": "x", "chat_template": TEMPLATE}, "Did you mean 'date_string'"),
        ({"tools": [lookup]}, "the chat template reads no tools"),
        ({"documents": [{"text": "x"}]}, "the chat template reads no documents"),
        ({"chat_template": "{% for %}"}, "the chat template is not valid"),
        ({"load_audio_from_video": True}, "load_audio_from_video=True"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "pass one of them"),
        ({"continue_final_message": "reasoning_content"}, "a message has only content"),
        ({"return_assistant_tokens_mask": True}, "needs tokenize=True and return_dict=True"),
    ],
)
def test_what_a_template_cannot_do_is_refused(
    processor: MMModalProcessor, given: dict[str, Any], words: str
) -> None:
    from jinja2.exceptions import TemplateError

    with pytest.raises(RenderError, match=words) as caught:
        processor.apply_chat_template(ANSWERED, **given)
    assert isinstance(caught.value, TemplateError)  # which TRL catches


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "x", "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "tool", "content": "x", "name": "f"},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "content": "x", "reasoning_content": "I think"},
    ],
)
def test_no_part_of_a_message_is_dropped(
    processor: MMModalProcessor, message: dict[str, Any]
) -> None:
    with pytest.raises(RenderError, match=r"tool|name|reasoning"):
        processor.apply_chat_template([user("x"), message])
    empty = {**ANSWERED[1], "tool_calls": None, "name": None}
    assert processor.apply_chat_template([user("hi"), empty]) == (
        processor.apply_chat_template(ANSWERED)
    )


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_the_tokens_of_the_assistant_are_marked(
    composed: Callable[[str], Path], family: str
) -> None:
    processor = mmmodal.load(composed(family)).processor
    chat = [
        user(picture(1), "a"),
        {"role": "assistant", "content": "one"},
        user("b"),
        {"role": "assistant", "content": "two"},
    ]
    batch = processor.apply_chat_template(
        [chat, chat[:2]], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    mask = batch["assistant_masks"]
    assert mask.shape == batch["input_ids"].shape
    end = processor.tokenizer.eos_token
    spoken = [
        processor.decode(ids[m.bool()]) for ids, m in zip(batch["input_ids"], mask, strict=True)
    ]
    assert spoken[0].split() == [*f"one{end}two{end}".replace(end, f" {end} ").split()] or (
        spoken[0].replace(" ", "") == f"one{end}two{end}"
    )
    assert spoken[1].replace(" ", "") == f"one{end}"


def test_blocks_of_generation_are_marked_as_transformers_marks_them(
    processor: MMModalProcessor,
) -> None:
    template = (
        "{% for m in messages %}{{ m['role'] }}: {% if m['role'] == 'assistant' %}"
        "{% generation %}{{ m['content'] }}{{ eos_token }}{%- endgeneration %}"
        "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello there"}]
    given: dict[str, Any] = {
        "chat_template": template,
        "tokenize": True,
        "return_dict": True,
        "return_assistant_tokens_mask": True,
    }
    ours = processor.apply_chat_template(chat, **given, return_tensors=None)
    theirs = processor.tokenizer.apply_chat_template(chat, **given)
    assert ours["input_ids"] == [theirs["input_ids"]]
    assert ours["assistant_masks"] == [theirs["assistant_masks"]]
    shown = [user(picture(1), "hi"), chat[1]]
    batch = processor.apply_chat_template(shown, **given)
    marked = batch["input_ids"][batch["assistant_masks"].bool()]
    assert processor.decode(marked).replace(" ", "") == "hellothere</s>"


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
@pytest.mark.parametrize("text", ["There is", "There is ", "", "I see <image> and </s>"])
def test_a_last_answer_is_continued(
    composed: Callable[[str], Path], family: str, text: str
) -> None:
    processor = mmmodal.load(composed(family)).processor
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]
    ours = processor.apply_chat_template(chat, continue_final_message=True)
    theirs = processor.tokenizer.apply_chat_template(
        chat, tokenize=False, continue_final_message=True
    )
    assert ours == theirs
    batch = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, continue_final_message=True
    )
    prompt = processor.apply_chat_template(
        chat[:1], tokenize=True, return_dict=True, add_generation_prompt=True
    )
    assert batch["input_ids"][0, : prompt["input_ids"].shape[1] - 1].tolist() == (
        prompt["input_ids"][0, :-1].tolist()
    )
    assert int(batch["input_ids"][0, -1]) != processor.tokenizer.eos_token_id
    assert processor.preparer.markers["image"].begin not in batch["input_ids"]


def test_the_model_answers_from_what_was_begun(model: MMModalForConditionalGeneration) -> None:
    chat = [user(picture(1), "x"), {"role": "assistant", "content": "There is"}]
    batch = model.processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, continue_final_message=True
    )
    output = model.generate(**batch, max_new_tokens=3, do_sample=False)
    assert torch.equal(output[:, : batch["input_ids"].shape[1]], batch["input_ids"])
