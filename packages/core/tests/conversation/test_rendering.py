"""Conversations become the ids the template means, with the loss where the assistant speaks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import IGNORE, Renderer
from mmmodal.errors import RenderError
from mmmodal_playground.tiny_language import FAMILIES
from worlds import MARKERS, renderer_of

FRAGMENTS = [
    *MARKERS,
    "</audio>",
    "<think>",
    "[INST]",
    "[/INST]",
    "<s>",
    "</s>",
    "<unk>",
    "<0x0A>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<",
    "im",
    "age>",
    "|",
    "\n",
    " ",
    "a",
    "é",
    "😀",
]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def renderer(request: pytest.FixtureRequest, parts: dict[str, Path]) -> Renderer:
    return make_renderer(parts[request.param])


def make_renderer(folder: Path) -> Renderer:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<think>"])  # added but not special, as in Qwen3
    return renderer_of(tokenizer)


def render(
    renderer: Renderer, chat: list[dict[str, Any]], *lengths: int, prompt: bool = False
) -> Any:
    messages, _ = read_messages(chat, ["image"])
    return renderer.render(messages, lengths, add_generation_prompt=prompt)


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [p if isinstance(p, dict) else _text(p) for p in parts]}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


IMAGE = {"type": "image", "image": "unread"}

CHAT = [
    {"role": "user", "content": "Hello  there\n"},
    {"role": "assistant", "content": " Yes, a circle. "},
    {"role": "user", "content": "Apa? é 😀"},
    {"role": "assistant", "content": "😀 Tidak"},
]


def supervised_texts(renderer: Renderer, rendered: Any) -> list[str]:
    runs = itertools.groupby(rendered.labels, key=lambda label: label != IGNORE)
    return [renderer.tokenizer.decode(list(run)) for is_spoken, run in runs if is_spoken]


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
def test_text_only_ids_equal_the_chat_template(renderer: Renderer, turns: int) -> None:
    prompt = turns % 2 == 1
    expected = renderer.tokenizer.apply_chat_template(
        CHAT[:turns], add_generation_prompt=prompt, tokenize=True, return_dict=True
    )["input_ids"]
    assert render(renderer, CHAT[:turns], prompt=prompt).input_ids == expected


def test_supervised_tokens_are_the_answers_and_their_turn_ends(renderer: Renderer) -> None:
    end = renderer.tokenizer.decode(renderer.turn_end_ids())
    texts = supervised_texts(renderer, render(renderer, CHAT))
    assert [text.strip() for text in texts] == [f"Yes, a circle. {end}", f"😀 Tidak{end}"]


def test_labels_are_the_ids_or_ignored(renderer: Renderer) -> None:
    rendered = render(renderer, CHAT)
    pairs = set(zip(rendered.input_ids, rendered.labels, strict=True))
    assert all(label in (IGNORE, id_) for id_, label in pairs)


def test_a_prompt_is_the_beginning_of_the_conversation_it_leads_to(renderer: Renderer) -> None:
    prompt = render(renderer, CHAT[:1], prompt=True).input_ids
    whole = render(renderer, [CHAT[0], assistant("ok")]).input_ids
    assert whole[: len(prompt)] == prompt


def test_media_become_slots_between_markers_in_order(renderer: Renderer) -> None:
    rendered = render(renderer, [user(IMAGE, "which?", IMAGE, IMAGE), assistant("ok")], 3, 1, 2)
    begin, end, slot = (renderer.tokenizer.convert_tokens_to_ids(m) for m in MARKERS)
    runs = [i for i, id_ in enumerate(rendered.input_ids) if id_ == begin]
    for start, length in zip(runs, (3, 1, 2), strict=True):
        assert rendered.input_ids[start : start + length + 2] == [begin, *[slot] * length, end]
        assert set(rendered.labels[start : start + length + 2]) == {IGNORE}
    assert rendered.media == [0, 1, 2]


def test_typed_marker_is_text(renderer: Renderer) -> None:
    rendered = render(renderer, [user("<image> <|image|> </image>"), assistant("<image> ok")])
    reserved = set(renderer.tokenizer.convert_tokens_to_ids(MARKERS))
    assert not reserved & set(rendered.input_ids)
    assert "<image> <|image|> </image>" in renderer.tokenizer.decode(rendered.input_ids)
    assert "<image> ok" in supervised_texts(renderer, rendered)[0]


def test_a_marker_cannot_form_across_neighbouring_parts(renderer: Renderer) -> None:
    rendered = render(renderer, [user("<ima", "ge>"), assistant("ok")])
    assert not set(renderer.tokenizer.convert_tokens_to_ids(MARKERS)) & set(rendered.input_ids)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=12).map("".join))
def test_whatever_is_typed_gives_no_added_token_and_decodes_back(
    renderer: Renderer, text: str
) -> None:
    added = set(renderer.tokenizer.get_added_vocab().values())
    plain = render(renderer, [user("x"), assistant("y")])
    rendered = render(renderer, [user(text), assistant("y")])
    assert sum(i in added for i in rendered.input_ids) == sum(i in added for i in plain.input_ids)
    assert text.strip() in renderer.tokenizer.decode(rendered.input_ids)


def test_media_in_an_assistant_turn_are_refused(renderer: Renderer) -> None:
    chat = [user("x"), {"role": "assistant", "content": [IMAGE]}]
    with pytest.raises(RenderError, match="assistant turn holds a medium"):
        render(renderer, chat, 2)


def test_a_role_that_the_template_refuses_is_one_clear_error(parts: dict[str, Path]) -> None:
    mistral = make_renderer(parts["mistral"])
    with pytest.raises(RenderError, match="refuses the role 'system' of message 1"):
        render(mistral, [{"role": "system", "content": "s"}, user("x")])


def test_a_tokenizer_without_template_says_how_to_give_one(parts: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(parts["llama"])
    tokenizer.chat_template = None
    with pytest.raises(RenderError, match="has no chat template; give a Jinja file"):
        Renderer(tokenizer, {})


def test_a_template_without_turn_end_is_refused(parts: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(parts["llama"])
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    )
    with pytest.raises(RenderError, match="cannot learn to stop"):
        Renderer(tokenizer, {}).turn_end_ids()


def test_a_template_that_trims_supervises_what_it_keeps(parts: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(parts["qwen2"])
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['content']", "message['content'] | trim"
    )
    trimming = Renderer(tokenizer, {})
    expected = tokenizer.apply_chat_template(CHAT, tokenize=True, return_dict=True)["input_ids"]
    rendered = render(trimming, CHAT)
    assert rendered.input_ids == expected
    assert supervised_texts(trimming, rendered) == [
        "Yes, a circle.<|im_end|>",
        "😀 Tidak<|im_end|>",
    ]
