"""Markers and slots get tokens of their own, once; they alone train at first, and never come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import mmmodal
from killing import Training
from mmmodal.making.loading import save
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.new_tokens import add_tokens, token_count
from mmmodal_playground.records import make_records
from tiny_architectures import tiny_causal
from worlds import compose, logged

EMBEDDING = "model.language_model.embed_tokens.weight"
MARKERS = ("<image>", "</image>", "<|image|>")


def matrices(model: Any) -> list[torch.Tensor]:
    """The embeddings and, where it is not the same, the head."""
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return [table.detach()] if head is table else [table.detach(), head.detach()]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_new_rows_are_the_mean_of_the_rows_of_tokens(
    parts: dict[str, Path], tmp_path: Path, tied: bool
) -> None:
    bare = tiny_causal(tmp_path / "lm", "qwen3", tie_word_embeddings=tied)
    known = bare.config.vocab_size
    composed = compose(tmp_path / "lm", parts)
    assert (composed.lm_head.weight is composed.get_input_embeddings().weight) == tied
    for before, after in zip(matrices(bare), matrices(composed), strict=True):
        assert len(after) % 64 == 0
        assert torch.equal(after[:known], before)
        torch.testing.assert_close(after[known:], before.mean(0).expand_as(after[known:]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_new_tokens_are_told_apart_by_their_embeddings(
    parts: dict[str, Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    """So that a slot is found in embeddings, whatever the model is loaded as."""
    compose(parts["llama"], parts, tmp_path / "model")
    model = mmmodal.load(tmp_path / "model", dtype=dtype)
    table, ids = model.get_input_embeddings().weight, model.config.media_ids()
    for id_ in ids:
        assert (table == table[id_]).all(-1).nonzero().tolist() == [[id_]]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_rows_that_a_padded_vocabulary_had_start_at_the_mean_too(
    parts: dict[str, Path], tmp_path: Path, tied: bool
) -> None:
    bare = tiny_causal(tmp_path / "lm", "qwen3", tie_word_embeddings=tied, spare_rows=300)
    known = token_count(AutoTokenizer.from_pretrained(tmp_path / "lm"))
    composed = compose(tmp_path / "lm", parts)
    new = range(known, token_count(composed.processor.tokenizer))
    assert len(new) == 6
    for before, after in zip(matrices(bare), matrices(composed), strict=True):
        assert len(after) >= len(before) and len(after) % 64 == 0
        mean = before[:known].mean(0)
        torch.testing.assert_close(after[list(new)], mean.expand(6, -1))
        assert torch.equal(after[:known], before[:known])
        assert torch.equal(after[new.stop : len(before)], before[new.stop :])


def test_a_bias_of_the_head_gets_new_values_too(parts: dict[str, Path], tmp_path: Path) -> None:
    bare: Any = tiny_causal(tmp_path / "lm", "phi")
    composed: Any = compose(tmp_path / "lm", parts)
    known, bias = bare.config.vocab_size, composed.lm_head.bias.detach()
    assert torch.equal(bias[:known], bare.lm_head.bias)
    torch.testing.assert_close(bias[known:], bare.lm_head.bias.mean().expand(len(bias) - known))


def test_tokens_are_added_once(parts: dict[str, Path], tmp_path: Path) -> None:
    tiny_causal(tmp_path / "lm", "qwen3")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "lm")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "lm")
    add_tokens(model, tokenizer, MARKERS)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("<image>")] = 7.0
    vocabulary, before = tokenizer.get_vocab(), [m.clone() for m in matrices(model)]
    add_tokens(model, tokenizer, MARKERS)
    assert tokenizer.get_vocab() == vocabulary
    assert all(torch.equal(a, b) for a, b in zip(matrices(model), before, strict=True))


def test_a_marker_that_the_language_model_knows_keeps_its_row(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    bare = tiny_causal(tmp_path / "lm", "qwen3")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "lm")
    tokenizer.add_tokens([AddedToken("<image>", special=True, normalized=False)])
    tokenizer.save_pretrained(tmp_path / "lm")
    bare.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    known = tokenizer.convert_tokens_to_ids("<image>")
    with torch.no_grad():
        bare.get_input_embeddings().weight[known] = 7.0
    bare.save_pretrained(tmp_path / "lm")
    composed = compose(tmp_path / "lm", parts)
    assert composed.processor.preparer.markers["image"].begin == known
    assert bool((composed.get_input_embeddings().weight[known] == 7.0).all())


@pytest.fixture(scope="module")
def eager_to_mark(
    parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> MMModalForConditionalGeneration:
    """A model whose head finds markers, slots and padding far likelier than any word."""
    folder = tmp_path_factory.mktemp("eager")
    tiny_causal(folder / "lm", "phi")
    model: Any = compose(folder / "lm", parts)
    with torch.no_grad():
        model.lm_head.bias[model.config.never_generated()] = 1e4
    save(model, folder / "model")
    return mmmodal.load(folder / "model")


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": False},
        {"do_sample": True, "temperature": 50.0, "num_return_sequences": 4},
        {"do_sample": True, "top_k": 2, "top_p": 0.5},
        {"do_sample": False, "num_beams": 4, "num_return_sequences": 4},
        {"do_sample": True, "num_beams": 3},
        {"do_sample": False, "suppress_tokens": [5]},
        {"generation_config": GenerationConfig(max_new_tokens=24, eos_token_id=2)},
        {"do_sample": False, "prompt_lookup_num_tokens": 3},
    ],
    ids=["greedy", "sampling", "top", "beams", "sampled beams", "suppressing", "own", "lookup"],
)
def test_markers_slots_and_padding_are_never_generated(
    eager_to_mark: MMModalForConditionalGeneration, settings: dict[str, Any]
) -> None:
    model = eager_to_mark
    never = set(model.config.never_generated())
    named = {id_ for marker in model.processor.preparer.markers.values() for id_ in marker.all}
    rows = model.get_input_embeddings().weight.shape[0]
    assert named < never and rows - 1 in never
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        assert int(model(ids).logits[0, -1].argmax()) in never
    length = {} if "generation_config" in settings else {"max_new_tokens": 24}
    output = model.generate(ids, **length, **settings)
    assert not never & set(output[:, ids.shape[1] :].flatten().tolist())


def test_a_chat_never_shows_a_marker(eager_to_mark: MMModalForConditionalGeneration) -> None:
    answer = mmmodal.Chat(eager_to_mark, max_new_tokens=16).say("Hello!")
    assert not any(token in answer for token in MARKERS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 4)


@pytest.mark.timeout(900)  # DeepSpeed compiles its CPU optimizer when it is first used
@pytest.mark.parametrize(
    "tied",
    [pytest.param(True, id="tied"), pytest.param(False, id="untied", marks=pytest.mark.slow)],
)
def test_stage_1_trains_new_input_rows_alone_also_under_zero_2_with_offload(
    parts: dict[str, Path], data: Path, tmp_path: Path, tied: bool
) -> None:
    """Two ranks, weight decay 0.1; what does not train stays bitwise, the rest of the matrix too."""
    tiny_causal(tmp_path / "lm", "qwen3", tie_word_embeddings=tied, spare_rows=80)
    start = compose(tmp_path / "lm", parts, tmp_path / "start")
    few = ("batch_size=1", "max_steps=2", "log_every=1", "max_tokens=512", "precision=fp32")
    more = ("weight_decay=0.1", "learning_rate=0.01", "deepspeed=zero2-offload")
    given = (f"model={tmp_path / 'start'}", f"data={data}", *few, *more)
    Training.said("align", tmp_path / "out", *given, ranks=2).finish()
    assert len(logged(tmp_path / "out")) == 2
    before, after = dict(start.state_dict()), dict(mmmodal.load(tmp_path / "out").state_dict())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    tables = {EMBEDDING, "lm_head.weight"} if tied else {EMBEDDING}
    assert {name for name in moved if "_projector." not in name} == tables
    learned = [id_ for name in ("image", "audio") for id_ in start.config.learned_ids(name)]
    for table in tables:
        rows = (before[table] != after[table]).any(-1).nonzero().flatten().tolist()
        assert rows == sorted(learned)


def test_older_folders_say_nothing_of_their_tokens_and_load(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    tiny_causal(tmp_path / "lm", "qwen3")
    model = compose(tmp_path / "lm", parts, tmp_path / "model")
    path = tmp_path / "model/config.json"
    config = json.loads(path.read_text())
    assert config.pop("token_count") == token_count(model.processor.tokenizer)
    path.write_text(json.dumps(config))
    again = mmmodal.load(tmp_path / "model")
    named = {id_ for marker in again.processor.preparer.markers.values() for id_ in marker.all}
    assert set(again.config.never_generated()) == named
