"""Generation settings of tasks act, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from mmmodal.authoring.parts import ConfigError
from mmmodal_lmms_eval.generation import generation_settings

GREEDY = {"temperature": 0}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, GREEDY),
        ({"max_new_tokens": 16, "temperature": 0, "top_p": 1.0, "num_beams": 1, "do_sample": False}, GREEDY | {"max_new_tokens": 16}),
        ({"temperature": 0.0, "top_p": 0.0}, GREEDY | {"top_p": 0.0}),
        ({"max_gen_toks": 7}, GREEDY | {"max_new_tokens": 7}),
        ({"max_gen_toks": 7, "max_new_tokens": None}, GREEDY | {"max_new_tokens": 7}),
        ({"until": ["\n\n", "", None]}, GREEDY | {"stop_strings": ("\n\n",)}),
        ({"until": "Q:"}, GREEDY | {"stop_strings": ("Q:",)}),
        ({"until": []}, GREEDY),
        ({"until": None}, GREEDY),
        ({"temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": 0.2, "do_sample": True, "top_p": 0.9}, {"temperature": 0.2, "do_sample": True, "top_p": 0.9}),
        ({"do_sample": True}, {"do_sample": True}),
        ({"top_p": 0.9}, GREEDY | {"top_p": 0.9}),  # without a temperature lmms-eval draws nothing
        ({"num_beams": 3}, GREEDY | {"num_beams": 3}),
        ({"image_aspect_ratio": "pad"}, GREEDY | {"image_aspect_ratio": "pad"}),  # core refuses it
    ],
)  # fmt: skip
def test_settings_of_a_task_become_those_of_answers(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = dict(given)
    assert generation_settings(given, "task t") == expected
    assert given == before, "lmms-eval asks further documents with the same mapping"


def test_settings_are_left_out_by_name() -> None:
    given = {"image_aspect_ratio": "pad", "seed": 0, "max_new_tokens": 2}
    settings = generation_settings(given, "task t", ("image_aspect_ratio", "seed"))
    assert settings == GREEDY | {"max_new_tokens": 2}


def test_a_temperature_without_sampling_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task t: temperature=0\.7 .* do_sample is false"):
        generation_settings({"temperature": 0.7, "do_sample": False}, "task t")
