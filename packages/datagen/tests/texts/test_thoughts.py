"""What a model thinks is no part of its answer, however a server passes it on."""

from __future__ import annotations

import pytest

from mmmodal_datagen.texts.thoughts import holds_thoughts, spoken

ANSWER = "Warnanya merah."
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\nLet me see.\n</think>\n\n{ANSWER}",
        f"<THINK>Let me see.</THINK>{ANSWER}",
        f"<think></think>{ANSWER}",
        f"<think/>{ANSWER}",
        f'<think time="3">Let me see.</think>{ANSWER}',
        f"&lt;think&gt;Let me see.&lt;/think&gt;{ANSWER}",
        f"<thinking>Let me see.</thinking>\n{ANSWER}",
        f"<thought>Let me see.</thought>{ANSWER}",
        f"<reasoning>Let me see.</reasoning>{ANSWER}",
        f"<chain_of_thought>Let me see.</chain_of_thought>{ANSWER}",
        f"<seed:think>a<seed:cot_budget_reflect>b</seed:cot_budget_reflect>c</seed:think>{ANSWER}",
        f"[THINK]Let me see.[/THINK]{ANSWER}",
        f"◁think▷Let me see.◁/think▷{ANSWER}",
        f"<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
        f"<|begin_of_thought|>a<|end_of_thought|>{ANSWER}",
        f"<|channel>thought\nLet me see.<channel|>{ANSWER}",
        f"Here is my thought process: hm. Here is my response: {ANSWER}",
        # The prompt opened the thought.
        f"Let me see.\n</think>\n\n{ANSWER}",
        f"Let me see.[/THINK]{ANSWER}",
        f"Let me see.{FINAL}{ANSWER}<|return|>",
        # Thoughts in thoughts, and marks that are only spoken of.
        f"<think>a<think>b</think>c</think>{ANSWER}",
        f"<think>They ask about <thinking> tags.</think>{ANSWER}",
        f"<think>They ask about `</think>` tags.</think>{ANSWER}",
        f"<think>a</think>No.<think>b</think>c</think>{ANSWER}",
        # Harmony, as gpt-oss writes it.
        f"<|channel|>analysis<|message|>Let me see.{FINAL}{ANSWER}<|return|>",
        f"analysis<|message|>Let me see.{FINAL}{ANSWER}",
        f"<|channel|>analysis<|message|>a<|channel|>final <|constrain|>json<|message|>{ANSWER}",
        f"<|channel|>final<|message|>{ANSWER}",
        f"analysisLet me see.assistantfinal{ANSWER}",
        f"analysis用户问颜色。assistantfinal{ANSWER}",
        f"<think>Let me see.</think><answer>{ANSWER}</answer>",
    ],
)
def test_an_answer_is_what_remains_without_its_thoughts(answer: str) -> None:
    assert spoken(answer) == (ANSWER, False)
    assert holds_thoughts(answer)
    assert not holds_thoughts(ANSWER)


def test_what_stands_around_thoughts_is_kept() -> None:
    assert spoken("Satu. <think>a</think>Dua.<think>b</think> Tiga.") == ("Satu. Dua. Tiga.", False)
    assert spoken('{"a": "<think>hm</think>merah"}') == ('{"a": "merah"}', False)


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ("<think>Let me", ""),
        ("[THINK]Let me", ""),
        ("◁think▷Let me", ""),
        (f"{ANSWER}<think>Or", ANSWER),
        ("<think>a<think>b</think>c", ""),
        (f"<thinking>a</think>{ANSWER}", ""),  # another mark does not close it
        ("<|channel|>analysis<|message|>Let me", ""),
        ("<|channel|>commentary<|message|>Let me", ""),
        ("analysisLet me", ""),
        ("Here is my thought process: hm", ""),
    ],
)
def test_a_thought_without_an_end_is_unfinished(answer: str, rest: str) -> None:
    assert spoken(answer) == (rest, True)
    assert holds_thoughts(answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " I think, therefore I am. ",
        "Reasoning and thinking differ: x < think(y) > z.",
        "He <3 thinking, and [thinking] is a stage direction.",
        "Open it with `<think>` and close it with `</think>`.",
        'The mark "<think>" opens a thought, and “</think>” ends it.',
        "analysis of the picture: red",
        "Analysis first, assistantfinal last.",
        "<answer>merah</answer>",
        "Here is my response: merah.",
        "<thinker>a</thinker> <rethink>",
    ],
)
def test_a_text_that_only_mentions_thoughts_is_unchanged(text: str) -> None:
    assert spoken(text) == (text, False)
    assert not holds_thoughts(text)
