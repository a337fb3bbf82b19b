"""Answers of any backend end in one of a few ways, and have no thoughts in them."""

from __future__ import annotations

import pytest

from mmmodal_datagen.contracts import Completion
from mmmodal_datagen.prompts.answers import unfit


def completion(reason: str, text: str = "Warnanya merah.") -> Completion:
    return Completion(text=text, finish_reason=reason, model="m")


@pytest.mark.parametrize(
    ("reasons", "problem"),
    [
        (("stop", "STOP", "FINISH_REASON_STOP", "stop_sequence", "stop_token", "stopped"), ""),
        (("eos", "eos_token", "EOS_TOKEN", "end_turn", "endTurn", "COMPLETE", "unknown", ""), ""),
        (("a_word_of_tomorrow", "other", "7"), ""),
        (
            ("length", "max_tokens", "MAX_TOKENS", "maxTokens", "model_length", "max-tokens"),
            "answer ended by length",
        ),
        (
            ("content_filter", "content-filter", "SAFETY", "safety", "refusal", "RECITATION"),
            "answer ended by a filter",
        ),
        (("tool_calls", "function_call", "tool_use"), "answer ended by a tool call"),
        (("error", "abort", "insufficient_system_resource"), "answer broke off"),
    ],
)
def test_only_a_known_bad_ending_makes_an_answer_unfit(
    reasons: tuple[str, ...], problem: str
) -> None:
    for reason in reasons:
        made = completion(reason)
        assert unfit(made, made.text) == problem, reason


def test_a_completion_has_no_thoughts_and_tells_of_an_unfinished_one() -> None:
    made = completion("eos", "<think>hm</think> Merah.")
    assert (made.text, made.finish_reason) == ("Merah.", "eos")
    cut = completion("stop", "<think>hm")
    assert (cut.text, unfit(cut, cut.text)) == ("", "answer ended within a thought")
    assert completion("length", "<think>hm").finish_reason == "length"
    assert Completion.model_validate(cut.model_dump()) == cut
    assert completion("stop", " As it is ").text == " As it is "
