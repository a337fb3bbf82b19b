"""Every generation setting of transformers acts on an answer, or is refused by its name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, GenerationMixin, WatermarkingConfig

import mmmodal
from mmmodal.answering import answer_records
from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.settings import REFUSED, SAMPLING, AnswerSettings, answer_settings

PROMPT = "What is this?"
SET_BY_TRANSFORMERS = {"_from_model_config"}


def settings(model: Any, **given: Any) -> AnswerSettings:
    return answer_settings(given, model)


def answer(model: Any, seed: int = 0, **given: Any) -> str:
    torch.manual_seed(seed)
    return mmmodal.Chat(model, **{"max_new_tokens": 10, **given}).say(PROMPT)


def first_token(model: Any) -> int:
    """Return the first token of the answer."""
    seen: list[int] = []

    def look(ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(int(ids[0, -1]))
        return torch.ones(len(ids), dtype=torch.bool)

    answer(model, stopping_criteria=[look])
    return seen[0]


def test_every_setting_of_transformers_acts_or_is_refused() -> None:
    known = set(vars(GenerationConfig())) - SET_BY_TRANSFORMERS
    acting = set(AnswerSettings.model_fields)
    arguments = set(inspect.signature(GenerationMixin.generate).parameters)
    known |= arguments - {"self", "kwargs", "generation_config"}
    assert known - acting - set(REFUSED) == set(), "put new settings into one of the two tables"
    assert acting & set(REFUSED) == set()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_setting_that_cannot_act_is_refused_by_name(
    name: str, model: MMModalForConditionalGeneration
) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' cannot act: ") as caught:
        mmmodal.Chat(model, **{name: 7})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", ["output_scores", "return_dict_in_generate", "low_memory"])
def test_a_setting_whose_value_changes_nothing_is_accepted(
    name: str, model: MMModalForConditionalGeneration
) -> None:
    for value in (None, False):
        assert answer(model, **{name: value}) == answer(model)
    assert answer(model, num_return_sequences=1, guidance_scale=1.0) == answer(model)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"temprature": 1}, "unknown key 'temprature'. Did you mean 'temperature'?"),
        ({"max_tokens": 5}, "unknown key 'max_tokens'. Did you mean 'max_new_tokens'?"),
        ({"stop": "x"}, "unknown key 'stop'"),
        ({"temperature": -1}, "'temperature': input should be greater than or equal to 0 (got -1)"),
        ({"temperature": "hot"}, "'temperature': input should be a valid number"),
        ({"top_p": 1.5}, "'top_p': input should be less than or equal to 1"),
        ({"top_k": -5}, "'top_k': input should be greater than or equal to 0"),
        ({"top_k": 1.5}, "'top_k': input should be a valid integer"),
        ({"max_new_tokens": 0}, "'max_new_tokens': input should be greater than 0"),
        ({"num_beams": 0}, "'num_beams': input should be greater than or equal to 1"),
        ({"repetition_penalty": 0}, "'repetition_penalty': input should be greater than 0"),
        ({"stop_strings": [""]}, "'stop_strings.0': string should have at least 1 character"),
        ({"stop_strings": 7}, "'stop_strings': input should be a valid tuple"),
        ({"bad_words_ids": []}, "'bad_words_ids': list should have at least 1 item"),
        ({"sequence_bias": {"a": 1.0}}, "'sequence_bias': "),
        ({"watermarking_config": {"bias": 1, "colour": 2}}, "'watermarking_config': "),
        ({"watermarking_config": {"greenlist_ratio": 2}}, "'watermarking_config': "),
        ({"early_stopping": True}, "early_stopping acts on a beam search; give num_beams above 1"),
        ({"length_penalty": 2}, "length_penalty acts on a beam search"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is larger than"),
        ({"do_sample": False, "temperature": 0.7}, "temperature acts on sampling, but do_sample"),
        ({"do_sample": False, "top_p": 0.7}, "top_p acts on sampling, but do_sample is False"),
        ({"do_sample": True, "temperature": 0}, "a temperature of 0 is not sampling"),
        ({"eos_token_id": 10**6}, "there is no token 1000000; the vocabulary has "),
        ({"suppress_tokens": [10**6]}, "there is no token 1000000"),
        ({"eos_token_id": -1}, "'eos_token_id"),
        ({"generation_config": {"top_p": 1}}, "'generation_config' is no GenerationConfig"),
        ({"tokenizer": object()}, "'tokenizer' is another one than the model's"),
    ],
)
def test_an_impossible_setting_is_one_clear_error(
    given: dict[str, Any], told: str, model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        mmmodal.Chat(model, **given)
    assert told in str(caught.value)
    with pytest.raises(ConfigError) as again:
        answer_records(model, [], tmp_path, **given)
    assert str(again.value) == str(caught.value)


def test_all_problems_are_told_together(model: MMModalForConditionalGeneration) -> None:
    with pytest.raises(ConfigError) as caught:
        mmmodal.Chat(model, output_scores=True, penalty_alpha=0.6)
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError) as caught:
        mmmodal.Chat(model, temperature=-1, top_p=2)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("given", "samples"),
    [
        ({}, False),
        ({"temperature": 0}, False),
        ({"temperature": 0.0, "top_p": 0.9}, False),
        ({"temperature": 0, "do_sample": False}, False),
        ({"temperature": None, "do_sample": False}, False),
        ({"do_sample": True}, True),
        *(
            ({name: value}, True)
            for name, value in zip(SAMPLING, (0.7, 5, *[0.5] * 6), strict=True)
        ),
        ({"temperature": 1.0}, True),
        ({"generation_config": GenerationConfig(temperature=0.7)}, True),
        ({"generation_config": GenerationConfig(temperature=0.7), "temperature": 0}, False),
        ({"num_beams": 2}, False),
        ({"num_beams": 2, "top_p": 0.9}, True),
    ],
)
def test_a_setting_of_sampling_implies_it(
    given: dict[str, Any], samples: bool, model: MMModalForConditionalGeneration
) -> None:
    arguments = settings(model, **given).arguments()
    assert arguments["do_sample"] is samples
    assert samples or not set(arguments) & set(SAMPLING)


@pytest.mark.parametrize("name", SAMPLING)
def test_sampling_draws_other_answers(name: str, model: MMModalForConditionalGeneration) -> None:
    value = {"temperature": 8.0, "top_k": 100, "epsilon_cutoff": 1e-6, "eta_cutoff": 1e-6}
    given = {name: value.get(name, 0.02 if name == "min_p" else 0.95)}
    assert len({answer(model, seed, **given) for seed in range(4)}) > 1
    assert answer(model, 1, **given) == answer(model, 1, **given)


def acting(model: Any) -> dict[str, tuple[Any, Any]]:
    """Return a value of each setting, and what shows that it acts."""
    first = first_token(model)
    plain = answer(model)

    def never(batch: int, ids: torch.Tensor) -> list[int]:
        return [first + 1]

    def stop(ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.ones(len(ids), dtype=torch.bool)

    def other(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(-1, torch.tensor([first]), -torch.inf)

    def differs(found: str) -> bool:
        return found != plain

    def same(found: str) -> bool:
        return found == plain

    return {
        "max_new_tokens": (2, differs),
        "max_time": (1e-6, differs),
        "stop_strings": (plain[2:4], differs),
        "eos_token_id": (first, lambda found: found == ""),
        "repetition_penalty": (0.01, differs),
        "encoder_repetition_penalty": (50.0, differs),
        "bad_words_ids": ([[first]], differs),
        "suppress_tokens": ([first], differs),
        "begin_suppress_tokens": ([first], differs),
        "sequence_bias": ({(first,): -100.0}, differs),
        "watermarking_config": ({"bias": 50.0}, differs),
        "logits_processor": ([other], differs),
        "stopping_criteria": ([stop], differs),
        "prefix_allowed_tokens_fn": (never, differs),
        # These change how an answer is computed, or what is rare.
        "use_cache": (False, same),
        "prefill_chunk_size": (4, same),
        "renormalize_logits": (True, same),
        "remove_invalid_values": (True, same),
        "min_new_tokens": (1, same),
        "no_repeat_ngram_size": (10, same),
        "encoder_no_repeat_ngram_size": (10, same),
        "exponential_decay_length_penalty": ((9, 1.01), same),
        "do_sample": (False, same),
        "num_beams": (1, same),
        **dict.fromkeys(SAMPLING, (None, same)),
        "early_stopping": (None, same),
        "length_penalty": (None, same),
    }


@pytest.mark.parametrize("name", AnswerSettings.model_fields)
def test_a_setting_acts(name: str, model: MMModalForConditionalGeneration) -> None:
    value, shown = acting(model)[name]
    assert shown(answer(model, **{name: value}))


def test_a_watermark_may_be_an_object(model: MMModalForConditionalGeneration) -> None:
    mark = {"watermarking_config": WatermarkingConfig(bias=50.0)}
    assert answer(model, **mark) == answer(model, watermarking_config={"bias": 50.0})


def test_settings_of_beams_act(model: MMModalForConditionalGeneration) -> None:
    assert answer(model, num_beams=3, early_stopping="never", length_penalty=2.0)
    with pytest.raises(ConfigError, match="a beam search has no text before its end"):
        mmmodal.Chat(model, num_beams=2).say(PROMPT, stream=print)


def test_more_tokens_than_an_end_are_forced(model: MMModalForConditionalGeneration) -> None:
    first = first_token(model)
    assert answer(model, eos_token_id=first) == ""
    assert answer(model, eos_token_id=first, min_new_tokens=3) != ""


def test_many_conversations_take_the_same_settings(
    model: MMModalForConditionalGeneration, tmp_path: Path
) -> None:
    plain = answer(model)
    stop = plain[2:4]
    turn = {"role": "user", "content": [{"type": "text", "text": PROMPT}]}
    records = [
        Record.model_validate({"id": "1", "messages": [turn]}),
        Record.model_validate({"id": "2", "messages": [turn, turn]}),
    ]
    (alone,), (first, second) = answer_records(
        model, records, tmp_path, max_new_tokens=10, stop_strings=stop
    )
    assert alone == first == plain[: plain.index(stop)].strip() == answer(model, stop_strings=stop)
    assert stop not in second
    drawn = [
        answer_records(model, records, tmp_path, max_new_tokens=10, temperature=8.0)
        for _ in range(3)
    ]
    assert drawn[0] != drawn[1] or drawn[1] != drawn[2]
