"""What is learned is what is asked: each answer stands behind the prompt that inference sends."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mmmodal.contracts.record import ContentPart, Message, text_message
from mmmodal.conversation.differences import differences, row_differences
from mmmodal.conversation.layout import MarkerIds
from mmmodal.conversation.rendering import IGNORE, Rendered, Renderer
from mmmodal.conversation.thoughts import Thoughts, without_thoughts
from mmmodal.errors import RenderError
from mmmodal.testing.languages import FAMILIES, tiny_tokenizer
from worlds import MARKERS

SYSTEM = ("system", "BE-BRIEF")
ONE = (("user", "first?"), ("assistant", "one."))
TWO = (*ONE, ("user", "second?"), ("assistant", "two."))
THOUGHT = "<think>\nI wonder.\n</think>\n\n"
CHATS = {
    "one": ONE,
    "two": TWO,
    "system": (SYSTEM, *ONE),
    "system, two": (SYSTEM, *TWO),
    "thought": (ONE[0], ("assistant", f"{THOUGHT}one.")),
    "thoughts": tuple((r, f"{THOUGHT}{t}" if r == "assistant" else t) for r, t in TWO),
    "thought, then none": (ONE[0], ("assistant", f"{THOUGHT}one."), *TWO[2:]),
    "thought, no line": (ONE[0], ("assistant", "<think>I wonder.</think>one.")),
    "space": tuple((role, f" \n {text}\n\n") for role, text in TWO),
    "typed tags": (("user", "what is <think> and </think>?"), ONE[1], *TWO[2:]),
    "empty answer": (*ONE, ("user", "second?"), ("assistant", "")),
    "waits for an answer": (SYSTEM, *ONE, ("user", "second?")),
    "twice in a row": (*ONE, ("assistant", "two.")),
}

PROMPT = "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
THINKING = PROMPT.replace("assistant\n", "assistant\n<think>\n")
BARE = PROMPT.replace("assistant\n", "assistant\n<think>")
TURN = "{{ '<|im_start|>' + m.role + '\n' + text + '<|im_end|>\n' }}"


def chatml(text: str = "m.content", prompt: str = PROMPT, each: str = "", start: str = "") -> str:
    """Return a template of ChatML whose turns have the value of an expression as text."""
    loop = "{%- for m in messages %}" + each + "{%- set text = " + text + " %}" + TURN
    return start + loop + "{%- endfor %}" + prompt


SPLIT = "m.content.split('</think>')[-1]"
TEMPLATES = {
    "as all": chatml(),
    "trims": chatml("m.content | trim"),
    "system in the last question": chatml(
        "(sys + '\n\n' if loop.last and m.role == 'user' else '') + m.content",
        start="{%- set sys = messages[0].content if messages[0].role == 'system' else '' %}",
        each="{%- if m.role == 'system' %}{%- continue %}{%- endif %}",
    ),
    "thought opened, then cut off": chatml(SPLIT, THINKING),
    "thought opened without a line": chatml(SPLIT, BARE),
    "thought opened, kept": chatml(prompt=THINKING),
    "thought cut off": chatml(SPLIT),
    "thought cut off in history": chatml(f"m.content if loop.last else {SPLIT}"),
    "empty thought in prompts": chatml(
        prompt=PROMPT.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n")
    ),
    "reminder in prompts": chatml(
        prompt="{{ '<|im_start|>user\nRemember!<|im_end|>\n' }}" + PROMPT
    ),
    "last question marked": chatml(
        "m.content + (' (now)' if loop.last and m.role == 'user' else '')"
    ),
    "turns counted": chatml("(messages | length) ~ ': ' ~ m.content"),
    "first answer dropped late": chatml(
        "'-' if m.role == 'assistant' and loop.first is false and loop.revindex > 3 else m.content"
    ),
    "answer changed": chatml("m.content | replace('.', '!')"),
    "answer labelled": chatml("('A: ' if m.role == 'assistant' else '') + m.content"),
    "switch in a question": chatml(
        prompt=PROMPT.replace(
            "assistant\n'", "assistant\n' + ('' if think else '<think></think>')"
        ),
        start="{%- set think = '?' not in messages[0].content %}",
    ),
    "system left out": chatml(each="{%- if m.role == 'system' %}{%- continue %}{%- endif %}"),
}


def renderer_of(template: str, thoughts: Thoughts = "keep", answers: Any = "asked") -> Renderer:
    tokenizer = tiny_tokenizer("qwen3")
    tokenizer.chat_template = template
    return Renderer(tokenizer, {}, thoughts, answers)


def messages_of(chat: Any) -> list[Message]:
    return [text_message(role, text) for role, text in chat]


def learned(renderer: Renderer, rendered: Rendered) -> list[str]:
    runs = itertools.groupby(rendered.labels, key=lambda label: label != IGNORE)
    return [renderer.tokenizer.decode(list(run)) for is_spoken, run in runs if is_spoken]


def squeezed(text: str) -> str:
    return "".join(text.split())


def check_rule(renderer: Renderer, messages: list[Message]) -> Rendered:
    """Assert that every learned answer stands behind its prompt, ids and all, and is whole."""
    rendered = renderer.render(messages)
    ids, labels = rendered.input_ids, rendered.labels
    left_out = {answer.number for answer in rendered.unlearned}
    places = [i for i, message in enumerate(messages) if message.role == "assistant"]
    assert len(places) not in left_out, "the last answer is always learned"
    dropped = renderer.thoughts == "drop"
    history = [without_thoughts(message) for message in messages] if dropped else messages
    spoken = 0
    for number, place in enumerate(places, 1):
        prompt = renderer.render(history[:place], add_generation_prompt=True).input_ids
        if number in left_out:
            continue
        assert ids[: len(prompt)] == prompt
        said = next((i for i in range(len(prompt), len(ids)) if labels[i] == IGNORE), len(ids))
        assert said > len(prompt) and labels[len(prompt) : said] == ids[len(prompt) : said]
        answer = squeezed(history[place].content[0].text or "")
        heard = squeezed(renderer.tokenizer.decode(ids[len(prompt) : said]))
        opened = renderer.tokenizer.decode(prompt).rstrip().endswith("<think>")
        assert answer in ("<think>" if opened else "") + heard
        spoken += said - len(prompt)
    assert sum(label != IGNORE for label in labels) == spoken, "nothing else is learned"
    return rendered


@pytest.mark.parametrize("thoughts", ["keep", "drop"])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_each_learned_answer_stands_behind_its_prompt(
    template: str, chat: str, thoughts: Thoughts
) -> None:
    check_rule(renderer_of(TEMPLATES[template], thoughts), messages_of(CHATS[chat]))


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_learns_behind_its_prompts(family: str, chat: str) -> None:
    renderer = Renderer(tiny_tokenizer(family), {})
    messages = messages_of(CHATS[chat])
    try:
        renderer.render(messages)
    except RenderError as error:
        assert "refuses the role" in str(error)
    else:
        check_rule(renderer, messages)


def test_a_system_text_of_the_last_question_is_learned_from() -> None:
    renderer = Renderer(tiny_tokenizer("mistral-v0.3"), {})
    rendered = check_rule(renderer, messages_of(CHATS["system"]))
    assert "BE-BRIEF" in renderer.tokenizer.decode(rendered.input_ids)
    several = check_rule(renderer, messages_of(CHATS["system, two"]))
    assert [answer.number for answer in several.unlearned] == [1]
    assert "BE-BRIEF" in several.unlearned[0].asked


@pytest.mark.parametrize("family", ["deepseek-r1", "qwen3-thinking"])
def test_an_opened_thought_is_gone_on_with_or_closed(family: str) -> None:
    renderer = Renderer(tiny_tokenizer(family), {})
    (end,) = renderer.tokenizer.convert_ids_to_tokens(renderer.turn_end_ids())
    thought = renderer.render(messages_of(CHATS["thought"]))
    assert learned(renderer, thought) == [f"I wonder.\n</think>\n\none.{end}"]
    plain = renderer.render(messages_of(CHATS["one"]))
    assert learned(renderer, plain) == [f"\n</think>\n\none.{end}"]


@pytest.mark.parametrize("chat", ["two", "system, two", "thoughts"])
def test_all_answers_can_be_learned_all_the_same(chat: str) -> None:
    for template in ("system in the last question", "thought opened, then cut off"):
        renderer = renderer_of(TEMPLATES[template], answers="all")
        rendered = renderer.render(messages_of(CHATS[chat]))
        texts = learned(renderer, rendered)
        assert not rendered.unlearned
        assert [text.split("<|im_end|>")[0][-4:] for text in texts] == ["one.", "two."]


def test_a_template_that_keeps_its_word_is_not_asked_again() -> None:
    """Rows of a known sequence of roles cost one call of the template."""
    renderer = renderer_of(TEMPLATES["as all"])
    renderer.render(messages_of(CHATS["system, two"]))
    calls, apply = [], renderer.tokenizer.apply_chat_template

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        return apply(*arguments, **options)

    renderer.tokenizer.apply_chat_template = counted
    renderer.render(messages_of((SYSTEM, *((role, f"{text} again") for role, text in TWO))))
    assert len(calls) == 1


def test_media_behind_the_last_answer_are_not_missed() -> None:
    tokenizer = tiny_tokenizer("mistral-v0.3")
    tokenizer.add_tokens(MARKERS, special_tokens=True)
    markers = {"image": MarkerIds(*tokenizer.convert_tokens_to_ids(MARKERS))}
    shown = [Message(role="user", content=(ContentPart(type="image", media=i),)) for i in (0, 1)]
    answer = text_message("assistant", "one.")
    chat = [text_message("system", "BE-BRIEF"), shown[0], answer, shown[1]]
    rendered = Renderer(tokenizer, markers).render(chat, [2, 3])
    assert rendered.media == [0] and rendered.input_ids.count(markers["image"].slot) == 2


def test_ids_of_prompts_stand_in_front_where_tokens_would_merge() -> None:
    tokenizer = tiny_tokenizer("gemma3")  # has tokens of several line breaks
    tokenizer.chat_template = tokenizer.chat_template.replace(" | trim", "")
    renderer = Renderer(tokenizer, {})
    chat = (*ONE, ("user", "second?"), ("assistant", "\ntwo.\n"))
    check_rule(renderer, messages_of(chat))
    early = check_rule(renderer, messages_of((chat[0], ("assistant", "\none."), *chat[2:])))
    assert [answer.number for answer in early.unlearned] == [1]


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (f"{THOUGHT}one.", "one."),
        ("<think></think>one.", "one."),
        ("<think>a</think><think>b</think> one.", "one."),
        ("I wonder.\n</think>\n\none.", "one."),
        ("[THINK]a[/THINK]one.", "one."),
        ("◁think▷a◁/think▷one.", "one."),
        ("one.", "one."),
        ("  one.\n", "  one.\n"),
        ("The tag </think> ends a thought.", "The tag </think> ends a thought."),
        ("Use <think>a</think> for that.", "Use <think>a</think> for that."),
    ],
)
def test_thoughts_are_dropped_from_the_front_of_answers_alone(answer: str, left: str) -> None:
    assert without_thoughts(text_message("assistant", answer)).content[0].text == left
    said = text_message("user", answer)
    assert without_thoughts(said) is said


@pytest.mark.parametrize("answer", ["<think>a</think>", "<think>never ends", "a</think>\n"])
def test_an_answer_of_a_thought_alone_cannot_lose_it(answer: str) -> None:
    with pytest.raises(RenderError, match="keep thoughts, or remove the row"):
        without_thoughts(text_message("assistant", answer))


@pytest.mark.parametrize(
    ("template", "kinds"),
    [
        ("as all", set()),
        ("trims", set()),
        ("answer labelled", set()),
        ("system in the last question", {"prompt", "history"}),
        ("thought opened, then cut off", {"prompt", "history"}),
        ("thought cut off in history", {"history"}),
        ("empty thought in prompts", {"prompt", "history"}),
        ("reminder in prompts", {"prompt", "history"}),
        ("last question marked", {"prompt", "history"}),
        ("turns counted", {"prompt", "history"}),
        ("system left out", {"system"}),
    ],
)
def test_differences_of_a_template_are_found_when_it_is_first_seen(
    template: str, kinds: set[str]
) -> None:
    found = differences(renderer_of(TEMPLATES[template]))
    assert {difference.kind for difference in found} == kinds
    assert all(difference.asked and difference.written for difference in found)


def test_a_template_that_writes_the_date_says_so() -> None:
    kinds = {
        family: [each.kind for each in differences(Renderer(tiny_tokenizer(family), {}))]
        for family in ("llama3", "llama3.2", "gpt-oss")
    }
    assert kinds == {"llama3": [], "llama3.2": ["date"], "gpt-oss": ["date"]}


def test_what_a_row_loses_is_told_with_both_texts() -> None:
    renderer = renderer_of(TEMPLATES["system in the last question"])
    assert list(row_differences(renderer, messages_of(CHATS["system"]))) == []
    (reason,) = row_differences(renderer, messages_of(CHATS["system, two"]))
    assert reason.startswith("answer 1 is not learned, since the chat template writes it otherwise")
    assert "BE-BRIEF" in reason and "first?" in reason
    (lost,) = row_differences(
        renderer_of(TEMPLATES["system left out"]), messages_of(CHATS["system"])
    )
    assert lost.startswith("the chat template leaves out the system text")
