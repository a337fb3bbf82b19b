"""transformers' pipelines answer with a composed model, in batches too, and go on with an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmmodal.model.modeling import MMModalForConditionalGeneration
from worlds import clip, picture, user

BEGUN = {"role": "assistant", "content": [{"type": "text", "text": "There is"}]}


@pytest.fixture(scope="module")
def pipes(model: MMModalForConditionalGeneration) -> dict[str, Any]:
    from transformers import pipeline

    return {
        task: pipeline(task, model=model, processor=model.processor)
        for task in ("image-text-to-text", "any-to-any")
    }


def greedy() -> dict[str, Any]:
    return {"max_new_tokens": 4, "do_sample": False}


def answers(pipe: Any, chats: Any, **given: Any) -> list[str]:
    found = pipe(text=chats, return_full_text=False, generate_kwargs=greedy(), **given)
    flat = [each[0] if isinstance(each, list) else each for each in found]
    return [each["generated_text"] for each in flat]


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
def test_a_batch_answers_as_one_by_one(pipes: dict[str, Any], task: str) -> None:
    chats = [
        [user(picture(1), "What?")],
        [user(picture(2), "And what is this other thing?")],
        [user(picture(3), picture(4), "And?")],
    ]
    alone = [answers(pipes[task], [chat])[0] for chat in chats]
    assert answers(pipes[task], chats, batch_size=3) == alone
    assert answers(pipes[task], chats, batch_size=2) == alone


def test_a_batch_of_sounds_answers_as_one_by_one(pipes: dict[str, Any]) -> None:
    chats = [[user(clip(1), "What?")], [user(clip(2), "And what is this?")]]
    alone = [answers(pipes["any-to-any"], [chat])[0] for chat in chats]
    assert answers(pipes["any-to-any"], chats, batch_size=2) == alone


@pytest.mark.parametrize("task", ["image-text-to-text", "any-to-any"])
def test_a_chat_that_ends_with_an_answer_is_continued(
    pipes: dict[str, Any], model: MMModalForConditionalGeneration, task: str
) -> None:
    chat = [user(picture(1), "What?"), BEGUN]
    (found,) = answers(pipes[task], [chat])
    batch = model.processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, continue_final_message=True
    )
    output = model.generate(**batch, **greedy())[:, batch["input_ids"].shape[1] :]
    (expected,) = model.processor.batch_decode(output, skip_special_tokens=True)
    assert found == expected
    whole = pipes[task](text=chat, generate_kwargs=greedy())[0]["generated_text"]
    assert whole[-1]["role"] == "assistant"
    assert whole[-1]["content"][0]["text"].startswith("There is")
    assert len(whole) == 2


def test_prompts_with_images_beside_them(pipes: dict[str, Any]) -> None:
    pipe = pipes["image-text-to-text"]
    texts, images = ["<image> a", "<image> b c d"], [picture(1), picture(2)]
    found = pipe(images=images, text=texts, generate_kwargs=greedy(), return_full_text=False)
    alone = [
        pipe(images=image, text=text, generate_kwargs=greedy(), return_full_text=False)
        for image, text in zip(images, texts, strict=True)
    ]
    assert [each["generated_text"] for each in found] == [
        each[0]["generated_text"] for each in alone
    ]


def test_a_saved_pipeline_is_whole(pipes: dict[str, Any], tmp_path: Path) -> None:
    from transformers import pipeline

    import mmmodal.auto  # noqa: F401 - what a user imports

    pipe = pipes["image-text-to-text"]
    chat = [user(picture(1), "What?")]
    expected = answers(pipe, [chat])
    pipe.save_pretrained(tmp_path / "saved")
    assert (
        answers(pipeline("image-text-to-text", model=str(tmp_path / "saved")), [chat]) == expected
    )
