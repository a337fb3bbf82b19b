"""A prompt of a conversation that goes on has the ids of one that is rendered anew."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mmmodal.contracts.record import Message
from mmmodal.conversation.locating import TokenizedText
from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import Rendered, Renderer
from mmmodal.samples.preparer import Preparer
from mmmodal.samples.transcript import Transcript
from mmmodal.testing.languages import FAMILIES, tiny_tokenizer
from worlds import renderer_of

SLOTS = 3
IMAGE = {"type": "image", "data": "x"}
TEXTS = (
    "What is it?",
    "  leading and trailing  ",
    "a typed </s> and <image> and <|im_end|>",
    "\n\nlines\n",
    "teks Melayu: apa khabar?",
    "<think>maybe</think> yes",
    ".",
    "日本 😀",
)


class Prompts:
    """The prompts of one conversation, each rendered after the one before."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer, self._before = renderer, TokenizedText("", [])

    def render(self, messages: list[Message], layouts: list[int]) -> Rendered:
        rendered, self._before = self._renderer.prompt(messages, layouts, self._before)
        return rendered


@pytest.fixture(params=FAMILIES)
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return renderer_of(request.param)


def conversation(turns: int, seed: int) -> list[Message]:
    chance = random.Random(seed)
    chat: list[dict[str, Any]] = []
    for _ in range(turns):
        text = {"type": "text", "text": chance.choice(TEXTS)}
        parts = [IMAGE, text] if chance.random() < 0.5 else [text]
        chat.append({"role": "user", "content": parts})
        chat.append({"role": "assistant", "content": chance.choice(TEXTS)})
    messages, _ = read_messages(chat, ["image"])
    return messages


@pytest.mark.parametrize("seed", range(4))
def test_each_prompt_has_the_ids_of_the_whole_rendered_anew(renderer: Renderer, seed: int) -> None:
    messages = conversation(6, seed)
    prompts, layouts = Prompts(renderer), [SLOTS] * 6
    for count in range(1, len(messages) + 1, 2):
        said = messages[:count]
        anew = renderer.render(said, layouts, add_generation_prompt=True)
        found = prompts.render(said, layouts)
        assert found.input_ids == anew.input_ids
        assert found.media == anew.media


def test_turns_that_are_left_out_in_front_change_nothing(renderer: Renderer) -> None:
    messages = conversation(5, 7)
    prompts, layouts = Prompts(renderer), [SLOTS] * 5
    for start in (0, 2, 0, 4, 6):
        said = messages[start:-1]
        anew = renderer.render(said, layouts, add_generation_prompt=True)
        assert prompts.render(said, layouts).input_ids == anew.input_ids


def test_only_what_is_new_is_tokenized(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizer("qwen2.5")
    renderer = Renderer(tokenizer, {})
    messages, _ = read_messages(
        [{"role": role, "content": "word " * 200} for role in ["user", "assistant"] * 5], []
    )
    prompts = Prompts(renderer)
    lengths = []
    encode = renderer._tokens.encode
    monkeypatch.setattr(
        renderer._tokens,
        "encode",
        lambda text, *rest, **named: lengths.append(len(text)) or encode(text, *rest, **named),
    )
    for count in range(1, 10, 2):
        prompts.render(messages[:count], [])
    assert max(lengths[1:]) < 2.5 * lengths[0]


@pytest.mark.parametrize("family", ["qwen3-thinking", "deepseek-r1", "qwen3", "llama3"])
@pytest.mark.parametrize(
    ("heard", "kept"),
    [
        ("hm\n</think>\n\nyes", "<think>\nhm\n</think>\n\nyes"),
        ("</think>\n\nyes", "yes"),
        ("hm, cut off", "hm, cut off"),
        ("yes", "yes"),
    ],
)
def test_the_history_holds_the_thought_that_the_prompt_opened(
    family: str, heard: str, kept: str
) -> None:
    transcript = Transcript(Preparer(tiny_tokenizer(family)))
    transcript.hear("well?")
    transcript.prompt(2048, 16)
    transcript.answer(heard)
    opens = family in ("qwen3-thinking", "deepseek-r1")
    assert transcript.messages[-1].content[0].text == (kept if opens else heard)
