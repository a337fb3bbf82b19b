"""Every way of transformers to generate works with media, and gives what it gives without a trick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, StaticCache
from transformers.generation import ContinuousBatchingConfig

import mmmodal
from mmmodal.errors import SpliceError
from worlds import batch_of, clip, picture, user

MIXED = [user(picture(1), clip(1), "What is related?", picture(2))]
LENGTH: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
Composed = Callable[[str], Path]


@pytest.fixture(scope="module")
def batch(model: Any) -> dict[str, Any]:
    return dict(batch_of(model, [MIXED]))


@pytest.fixture(scope="module")
def greedy(model: Any, batch: dict[str, Any]) -> list[int]:
    """The answer without any trick."""
    return new_tokens(model, batch)


@pytest.fixture(scope="module")
def draft(parts: dict[str, Path]) -> Any:
    """A language model that knows no media, and whose vocabulary is smaller."""
    return AutoModelForCausalLM.from_pretrained(parts["llama"])


def new_tokens(model: Any, batch: dict[str, Any], **settings: Any) -> list[int]:
    output = model.generate(**batch, **{**LENGTH, **settings})
    start = batch["input_ids"].shape[1] if "input_ids" in batch else 0
    return list(output[0, start:].tolist())


def with_text_draft(model: Any, draft: Any, parts: dict[str, Path]) -> dict[str, Any]:
    return {
        "assistant_model": draft,
        "tokenizer": model.processor.tokenizer,
        "assistant_tokenizer": AutoTokenizer.from_pretrained(parts["llama"]),
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"cache_implementation": "static"},
        pytest.param(
            {"cache_implementation": "offloaded"},
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="it needs a GPU"),
        ),
        {"cache_implementation": "dynamic"},
        {"use_cache": False},
        {"prompt_lookup_num_tokens": 2},
        {"num_beams": 1, "num_return_sequences": 1},
        {"return_dict_in_generate": False, "output_attentions": False},
        {"top_k": 1, "do_sample": True},
        {"guidance_scale": 1.0},
    ],
    ids=lambda settings: next(iter(settings)) + " " + str(next(iter(settings.values()))),
)
def test_settings_that_change_only_how_it_is_computed(
    model: Any, batch: dict[str, Any], greedy: list[int], settings: dict[str, Any]
) -> None:
    assert new_tokens(model, batch, **settings) == greedy


def test_a_cache_of_the_callers_own(model: Any, batch: dict[str, Any], greedy: list[int]) -> None:
    cache = StaticCache(config=model.config.text_config, max_cache_len=512)
    assert new_tokens(model, batch, past_key_values=cache) == greedy


@pytest.mark.parametrize("tokens", [1, 5], ids=["one", "several"])
def test_a_draft_of_the_same_class_reads_the_media(
    model: Any, start: Path, batch: dict[str, Any], greedy: list[int], tokens: int
) -> None:
    """All of the drafts of an equal model are right, so that it takes few steps of the model."""
    twin = mmmodal.load(start)
    twin.generation_config.num_assistant_tokens = tokens
    twin.generation_config.assistant_confidence_threshold = 0
    steps: list[int] = []
    hook = model.model.register_forward_hook(lambda *_: steps.append(1))
    try:
        assert new_tokens(model, batch, assistant_model=twin) == greedy
    finally:
        hook.remove()
    assert len(steps) <= 6 // (tokens + 1) + 2


@pytest.mark.parametrize("chat", [MIXED, [user("Only text")]], ids=["media", "text"])
def test_a_text_model_drafts_for_prompts_with_and_without_media(
    model: Any, draft: Any, parts: dict[str, Path], chat: Any
) -> None:
    given = dict(batch_of(model, [chat]))
    found = new_tokens(model, given, **with_text_draft(model, draft, parts))
    assert found == new_tokens(model, given)


def test_samples_of_a_draft_are_no_markers(model: Any, start: Path, batch: dict[str, Any]) -> None:
    never = set(model.config.never_generated())
    settings = {"do_sample": True, "temperature": 50.0, "assistant_model": mmmodal.load(start)}
    assert not never & set(new_tokens(model, batch, **settings))


def test_a_negative_prompt_reads_its_media(model: Any, batch: dict[str, Any]) -> None:
    """Guided by its own prompt, an answer is the same at any scale."""
    negative = {
        "negative_prompt_ids": batch["input_ids"],
        "negative_prompt_attention_mask": batch["attention_mask"],
    }
    expected = logits(model, batch)
    for use_cache in (True, False):
        found = logits(model, batch, guidance_scale=3.0, use_cache=use_cache, **negative)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    blank = {**batch, "pixel_values": torch.zeros_like(batch["pixel_values"])}
    assert not torch.allclose(logits(model, blank), expected, atol=1e-3)


def test_a_negative_prompt_of_text_reads_no_media(model: Any, batch: dict[str, Any]) -> None:
    text = batch_of(model, [[user("Nothing")]])["input_ids"]
    guided = logits(model, batch, guidance_scale=1.5, negative_prompt_ids=text)
    first = model(text).logits[:, -1].log_softmax(-1)
    own = model(**batch).logits[:, -1].log_softmax(-1)
    words = guided[0].isfinite()
    expected = (1.5 * (own - first) + first)[0, words].log_softmax(-1)
    assert words.sum() > 800
    torch.testing.assert_close(guided[0, words], expected, atol=1e-4, rtol=0)


def test_a_negative_prompt_with_other_media_is_refused(model: Any, batch: dict[str, Any]) -> None:
    other = batch_of(model, [[user(picture(1), "What?")]])["input_ids"]
    with pytest.raises(SpliceError, match="no slots"):
        model.generate(**batch, **LENGTH, guidance_scale=1.5, negative_prompt_ids=other)


def logits(model: Any, batch: dict[str, Any], **settings: Any) -> torch.Tensor:
    """Return the processed scores [steps, vocabulary] of an answer, as log-probabilities."""
    output = model.generate(
        **batch, **LENGTH, **settings, output_scores=True, return_dict_in_generate=True
    )
    allowed = torch.cat(output.scores)
    return allowed.log_softmax(-1)


def test_embeddings_beside_media_are_filled(
    model: Any, batch: dict[str, Any], greedy: list[int]
) -> None:
    embedded = {**batch, "inputs_embeds": model.get_input_embeddings()(batch["input_ids"])}
    assert new_tokens(model, embedded) == greedy
    alone = {name: value for name, value in embedded.items() if name != "input_ids"}
    assert new_tokens(model, alone) == greedy
    beams = {"num_beams": 2, "num_return_sequences": 2}
    assert new_tokens(model, alone, **beams) == new_tokens(model, batch, **beams)


def test_embeddings_fill_a_static_cache(
    model: Any, batch: dict[str, Any], greedy: list[int]
) -> None:
    embedded = {**batch, "inputs_embeds": model.get_input_embeddings()(batch["input_ids"])}
    assert new_tokens(model, embedded, cache_implementation="static") == greedy


def test_an_answer_is_continued_from_its_cache(
    model: Any, batch: dict[str, Any], greedy: list[int]
) -> None:
    """The media are in the cache; they are not given again."""
    settings = {**LENGTH, "max_new_tokens": 3, "min_new_tokens": 3}
    half = model.generate(**batch, **settings, return_dict_in_generate=True)
    cache = half.past_key_values
    whole = model.generate(half.sequences, past_key_values=cache, **settings)
    assert whole[0, batch["input_ids"].shape[1] :].tolist() == greedy


@pytest.mark.parametrize("ids", [True, False], ids=["with ids", "embeddings alone"])
def test_a_forward_pass_fills_embeddings(model: Any, batch: dict[str, Any], ids: bool) -> None:
    embedded = {**batch, "inputs_embeds": model.get_input_embeddings()(batch["input_ids"])}
    if not ids:
        del embedded["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(model(**embedded).logits, model(**batch).logits)


def test_embeddings_without_the_slots_of_their_media_are_refused(
    model: Any, batch: dict[str, Any]
) -> None:
    text = model.get_input_embeddings()(torch.tensor([[5, 6, 7]]))
    media = {name: value for name, value in batch.items() if value.dtype == torch.float32}
    with pytest.raises(SpliceError, match="have no slots"):
        model(inputs_embeds=text, pixel_values=media["pixel_values"])


SMALL = ContinuousBatchingConfig(num_blocks=16, max_batch_tokens=64)
"""By default it reserves most of the memory of the machine, and fills it with zeros."""


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_continuous_batching_answers_texts_as_one_by_one(start: Path, attention: str) -> None:
    model: Any = mmmodal.load(start, attn_implementation=attention)
    texts = ["hello there", "one two three four", "x"]
    prompts = [model.processor.tokenizer(text)["input_ids"] for text in texts]
    settings = GenerationConfig(max_new_tokens=4, do_sample=False, eos_token_id=-1, pad_token_id=2)
    answers = model.generate_batch(
        inputs=prompts, generation_config=settings, continuous_batching_config=SMALL
    )
    assert not any(answer.error for answer in answers.values())
    alone = [
        model.generate(torch.tensor([ids]), generation_config=settings)[0, len(ids) :].tolist()
        for ids in prompts
    ]
    found = {tuple(answer.prompt_ids): answer.generated_tokens for answer in answers.values()}
    assert [found[tuple(ids)] for ids in prompts] == alone


def test_continuous_batching_generates_no_markers(start: Path) -> None:
    model: Any = mmmodal.load(start)
    settings = GenerationConfig(
        max_new_tokens=24, do_sample=True, temperature=50.0, eos_token_id=-1, pad_token_id=2
    )
    answers = model.generate_batch(
        inputs=[[5, 6, 7]] * 4, generation_config=settings, continuous_batching_config=SMALL
    )
    found = {id_ for answer in answers.values() for id_ in answer.generated_tokens}
    assert len(found) > 10 and not found & set(model.config.never_generated())
