"""Every family's conversations read as its template writes them, and learn what the assistant says."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from mmmodal.conversation.messages import read_messages
from mmmodal.conversation.rendering import IGNORE, Rendered, Renderer
from mmmodal.errors import RenderError
from mmmodal.testing.languages import FAMILIES
from worlds import MARKERS, renderer_of

IMAGE = {"type": "image", "image": "unread"}
NO_SYSTEM = {"gemma2", "unigram"}
UNLIKE = {"qwen3-no-thinking", "qwen3-thinking", "deepseek-r1"}
"""The families that write finished answers otherwise than the prompts that lead to them: only the
last answer is learned, behind its prompt."""

MOVING = {"mistral-v0.3"}
"""The families that do so where there is a system text."""

OPENINGS = {
    "qwen3": "<think>\n\n</think>\n\n",
    "qwen3-thinking": "\n</think>\n\n",  # behind the `<think>` of the prompt
    "deepseek-r1": "\n</think>\n\n",
}

QUESTIONS = ["Hello  there\n", "Apa? é 😀\n\n  def f(x):", "And  this: it's 2019", "日本語?", "z"]
ANSWERS = ["Yes, a circle.", "😀 Tidak\n\nbaris", "It's 2 clips;", "\nlines\n", " spaced "]


cached = cache(renderer_of)


@pytest.fixture(params=FAMILIES)
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return cached(request.param)


@pytest.fixture
def family(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["renderer"])


def render(renderer: Renderer, chat: list[dict[str, Any]], *, prompt: bool = False) -> Rendered:
    messages, media = read_messages(chat, ["image"])
    return renderer.render(messages, [3] * len(media), add_generation_prompt=prompt)


def conversation(turns: int, *, system: bool = False) -> list[dict[str, str]]:
    spoken = itertools.chain.from_iterable(zip(QUESTIONS, ANSWERS, strict=True))
    roles = itertools.cycle(("user", "assistant"))
    chat = [{"role": r, "content": t} for r, t in zip(roles, spoken, strict=False)][:turns]
    return [*([{"role": "system", "content": "Be  brief."}] if system else []), *chat]


def expected(renderer: Renderer, chat: list[dict[str, str]], *, prompt: bool = False) -> list[int]:
    ids: list[int] = renderer.tokenizer.apply_chat_template(
        chat, add_generation_prompt=prompt, tokenize=True, return_dict=True
    )["input_ids"]
    return ids


def learned(renderer: Renderer, rendered: Rendered) -> list[str]:
    runs = itertools.groupby(rendered.labels, key=lambda label: label != IGNORE)
    return [renderer.tokenizer.decode(list(run)) for is_spoken, run in runs if is_spoken]


def answer_in(text: str, end: str) -> str:
    """Return an answer without what a family's template writes around it."""
    for opening in ("</think>", "<|message|>"):
        text = text.rsplit(opening, maxsplit=1)[-1]
    return text.removesuffix(end).strip()


@pytest.mark.parametrize("turns", range(1, 11))
def test_ids_equal_those_of_the_chat_template(renderer: Renderer, family: str, turns: int) -> None:
    for system, prompt in itertools.product((False, True), {turns % 2 == 1, False}):
        if system and family in NO_SYSTEM:
            continue  # see below
        if not prompt and (family in UNLIKE or (system and family in MOVING)):
            continue  # see test_training_text.py in core
        chat = conversation(turns, system=system)
        ours = render(renderer, chat, prompt=prompt)
        assert ours.input_ids == expected(renderer, chat, prompt=prompt)
        assert all(
            pair[1] in (pair[0], IGNORE) for pair in zip(ours.input_ids, ours.labels, strict=True)
        )


def test_the_model_learns_the_answers_and_their_ends(renderer: Renderer, family: str) -> None:
    answers = ["Yes, a circle.", "😀 Tidak\n\nbaris", "It's 2 clips;"]
    chat = [
        message
        for question, answer in zip(QUESTIONS, answers, strict=False)
        for message in (
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        )
    ]
    end = renderer.tokenizer.decode(renderer.turn_end_ids())
    opening = OPENINGS.get(family, "")
    wanted = [f"{answer}{end}" for answer in answers]
    wanted[-1] = opening + wanted[-1]
    if family == "gpt-oss":  # with the channel, and the token that ends the last answer of all
        channel = "<|channel|>final<|message|>"
        wanted = [channel + answer for answer in [*answers[:2], wanted[-1]]]
    if family in UNLIKE:
        wanted = wanted[-1:]
    if family == "smollm3-no-thinking":
        assert renderer.text(read_messages(chat, [])[0]).count("<think>\n\n</think>") == 3
    assert [text.strip(" ") for text in learned(renderer, render(renderer, chat))] == wanted


def test_what_is_learned_follows_the_prompt_that_a_model_is_given(renderer: Renderer) -> None:
    chat = conversation(4)
    whole = render(renderer, chat)
    prompt = render(renderer, chat[:3], prompt=True).input_ids
    assert whole.input_ids[: len(prompt)] == prompt
    last = max(i for i, label in enumerate(whole.labels) if label != IGNORE)
    assert whole.input_ids[len(prompt) : last + 1] == whole.labels[len(prompt) : last + 1]
    assert whole.labels[last] == renderer.turn_end_ids()[0]
    assert whole.labels[len(prompt) - 1] == IGNORE


@pytest.mark.parametrize("spaces", ["{}", " {}", "{} ", "\n{}", "{}\n\n", "\n\n {}  \n"])
def test_white_space_around_an_answer_is_learned_as_the_template_keeps_it(
    renderer: Renderer, family: str, spaces: str
) -> None:
    answers = [spaces.format("a circle"), spaces.format("Tidak")]
    chat = conversation(4)
    chat[1]["content"], chat[3]["content"] = answers
    rendered = render(renderer, chat)
    end = renderer.tokenizer.decode(renderer.turn_end_ids())
    texts = learned(renderer, rendered)
    assert texts[-1].endswith(end) and answer_in(texts[-1], end) == "Tidak"
    if family not in UNLIKE:
        assert rendered.input_ids == expected(renderer, chat)
        assert answer_in(texts[0], end) == "a circle"
    if family not in {*UNLIKE, "gpt-oss"}:
        assert texts[0].endswith(end)


def test_answers_are_found_alike_with_and_without_offsets(renderer: Renderer, family: str) -> None:
    """Without markup in the header a template is asked twice, and the tokenizer for offsets."""
    by_offsets = Renderer(renderer.tokenizer, renderer.markers)
    by_offsets._format = replace(renderer._format, anchored=False)
    random_ = random.Random(0)
    bits = [
        "a",
        " circle",
        "\n",
        "  ",
        "\n\n",
        ":",
        "é",
        "assistant",
        "user",
        "<|",
        "[/",
        "1",
        "日",
    ]
    for _ in range(60):
        chat = conversation(2 * random_.randint(1, 5))
        for message in chat:
            message["content"] = "".join(random_.choices(bits, k=random_.randint(0, 6)))
        assert render(renderer, chat) == render(by_offsets, chat), chat


def test_thoughts_stay_in_the_last_answer_alone_and_are_learned() -> None:
    renderer = cached("qwen3")
    chat = conversation(4)
    chat[1]["content"] = "<think>\nfirst thought\n</think>\n\nYes."
    chat[3]["content"] = "<think>\nsecond thought\n</think>\n\nNo."
    rendered = render(renderer, chat)
    assert rendered.input_ids == expected(renderer, chat)
    thought = "<think>\nsecond thought\n</think>\n\nNo.<|im_end|>"
    assert learned(renderer, rendered) == [thought]  # the first has lost its own in the history
    assert [answer.number for answer in rendered.unlearned] == [1]
    again = render(renderer, chat[:3], prompt=True)
    assert again.input_ids == expected(renderer, chat[:3], prompt=True)


def test_a_thought_that_a_user_types_is_text() -> None:
    renderer = cached("qwen3")
    chat = conversation(2)
    chat[0]["content"] = "<think>\nmine\n</think>\n\nyours"
    rendered = render(renderer, chat)
    ids = renderer.tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    assert [rendered.input_ids.count(id_) for id_ in ids] == [1, 1]  # the empty one of the answer
    assert "<think>\nmine\n</think>\n\nyours" in renderer.tokenizer.decode(rendered.input_ids)


def test_an_answer_cannot_spell_any_other_token(renderer: Renderer) -> None:
    tokenizer = renderer.tokenizer
    literals = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    chat = conversation(4)
    plain = render(renderer, chat).input_ids
    chat[1]["content"] = chat[3]["content"] = " ".join(["x", *literals, "y"])
    spelled = render(renderer, chat)
    special = set(tokenizer.convert_tokens_to_ids(literals))
    assert sum(i in special for i in spelled.input_ids) == sum(i in special for i in plain)
    assert all(" ".join(literals) in text for text in learned(renderer, spelled))


def test_answers_marked_by_a_template_are_what_is_learned() -> None:
    """transformers reads the template's own `generation` blocks."""
    renderer = cached("smollm3")
    chat = [message for message in conversation(6, system=True)]
    theirs = renderer.tokenizer.apply_chat_template(
        chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ours = render(renderer, chat)
    assert [label != IGNORE for label in ours.labels] == [
        bool(spoken) for spoken in theirs["assistant_masks"]
    ]


def test_a_date_that_changes_between_two_looks_at_a_template_does_no_harm() -> None:
    shared = cached("llama3")
    chat, template = conversation(4), shared.tokenizer.chat_template
    chat[3]["content"] = "<think>hm</think> ok"  # is compared with its prompts itself
    calm = render(shared, chat)
    renderer = Renderer(shared.tokenizer, shared.markers)
    assert renderer.turn_end_ids() == shared.turn_end_ids()
    write, calls = renderer._write, itertools.count(1)

    def on_another_day(chat: Any, add_generation_prompt: bool) -> str:
        day = 25 if next(calls) <= 2 else 26
        renderer.tokenizer.chat_template = template.replace("26 Jul", f"{day} Jul")
        return write(chat, add_generation_prompt)

    renderer._write = on_another_day
    try:
        assert render(renderer, chat) == calm
    finally:
        renderer.tokenizer.chat_template = template


@pytest.mark.parametrize("name", sorted(NO_SYSTEM))
def test_a_template_that_takes_no_system_message_says_so(name: str) -> None:
    renderer = cached(name)
    renderer.tokenizer.name_or_path = "some/model"
    refusal = r"template of some/model refuses the role 'system' of message 1 \(.+\); move its"
    with pytest.raises(RenderError, match=refusal):
        render(renderer, conversation(3, system=True), prompt=True)


def test_a_role_that_comes_at_the_wrong_place_is_named() -> None:
    chat = [*conversation(2), {"role": "assistant", "content": "again"}]
    with pytest.raises(RenderError, match="refuses the role 'assistant' of message 3"):
        render(cached("gemma2"), chat)


def test_media_may_stand_anywhere_in_what_a_user_says(renderer: Renderer, family: str) -> None:
    text = {"type": "text", "text": "which?"}
    answer = {"role": "assistant", "content": "ok"}
    layouts = [[IMAGE, text], [text, IMAGE], [IMAGE, IMAGE, text, IMAGE], [IMAGE], [IMAGE, IMAGE]]
    begin, end, slot = renderer.tokenizer.convert_tokens_to_ids(MARKERS)
    chat: list[dict[str, Any]] = []
    for parts in layouts:
        chat += [{"role": "user", "content": parts}, answer]
    rendered = render(renderer, chat)
    assert rendered.media == list(range(8))
    starts = [i for i, id_ in enumerate(rendered.input_ids) if id_ == begin]
    assert len(starts) == 8 and rendered.input_ids.count(slot) == 24
    for start in starts:
        assert rendered.input_ids[start : start + 5] == [begin, slot, slot, slot, end]
        assert set(rendered.labels[start : start + 5]) == {IGNORE}
    ending = renderer.tokenizer.decode(renderer.turn_end_ids())
    texts = [answer_in(text, ending) for text in learned(renderer, rendered)]
    assert texts == ["ok"] * (1 if family in UNLIKE else 5)


def test_media_in_an_answer_are_refused(renderer: Renderer) -> None:
    chat = [*conversation(1), {"role": "assistant", "content": [IMAGE]}]
    with pytest.raises(RenderError, match="an assistant turn holds a medium"):
        render(renderer, chat)
