"""Tokens that are added to a composed model can be generated; markers, slots and padding cannot."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMultimodalLM, AutoProcessor

import mmmodal
from mmmodal.errors import CheckpointError, PartError
from mmmodal.making.loading import save
from mmmodal.model.markers import MarkerEmbedding
from mmmodal.model.modeling import MMModalForConditionalGeneration
from tiny_architectures import tiny_causal
from worlds import batch_of, compose, picture, user


@pytest.fixture
def model(start: Path) -> Any:
    """A model of each test's own, to be resized."""
    return mmmodal.load(start)


def forced(model: Any, id_: int, **inputs: Any) -> int:
    """Return the token that is generated if the scores are highest for `id_`."""

    def only(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = torch.full_like(scores, -1e4)
        scores[:, id_] = 1e4
        return scores

    inputs = inputs or {"input_ids": torch.tensor([[5, 6, 7]])}
    return int(model.generate(**inputs, max_new_tokens=1, logits_processor=[only])[0, -1])


@pytest.mark.parametrize("more", [1, 7, 100], ids=["one", "some", "beyond the padding"])
def test_added_tokens_can_be_generated_also_after_saving_and_loading(
    model: Any, tmp_path: Path, more: int
) -> None:
    tokenizer = model.processor.tokenizer
    tokenizer.add_tokens([f"<tool {number}>" for number in range(more)])
    model.resize_token_embeddings(len(tokenizer))
    first, last = len(tokenizer) - more, len(tokenizer) - 1
    batch = batch_of(model, [[user(picture(1), "What?")]])
    assert forced(model, last, **batch) == last
    model.save_pretrained(tmp_path / "saved")
    model.processor.save_pretrained(tmp_path / "saved")
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path / "saved")
    assert AutoProcessor.from_pretrained(tmp_path / "saved").decode([first]) == "<tool 0>"
    for loaded in (again, mmmodal.load(tmp_path / "saved")):
        assert [forced(loaded, id_) for id_ in (first, last)] == [first, last]
        for id_ in loaded.config.media_ids():
            assert forced(loaded, id_) != id_


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_padding_is_not_generated_and_the_head_has_all_rows(
    parts: dict[str, Path], tmp_path: Path, tied: bool, bias: bool
) -> None:
    tiny_causal(tmp_path / "lm", "phi" if bias else "qwen3", tie_word_embeddings=tied)
    model = compose(tmp_path / "lm", parts)
    tokens = model.config.token_count + 3
    model.resize_token_embeddings(tokens, pad_to_multiple_of=128)
    rows = model.get_input_embeddings().weight.shape[0]
    assert rows % 128 == 0 and rows > tokens == model.config.token_count
    assert model.lm_head.weight.shape[0] == rows == model.config.text_config.vocab_size
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied
    assert (model.lm_head.bias is not None) == bias
    assert forced(model, tokens - 1) == tokens - 1
    assert {tokens, rows - 1} < set(model.config.never_generated())
    assert forced(model, rows - 1) != rows - 1
    labels = torch.tensor([[3, 4, tokens - 1, 5]])
    loss = model.train()(input_ids=labels, labels=labels).loss
    loss.backward()
    assert loss.isfinite() and model.get_input_embeddings().weight.grad.shape[0] == rows


def test_the_number_of_tokens_follows_in_both_directions(model: Any) -> None:
    config, count = model.config, model.config.token_count
    for asked, padded, rows in [
        (count + 100, None, count + 100),
        (count + 1, None, count + 1),  # fewer again
        (count + 1, 64, -(-(count + 1) // 64) * 64),
        (None, 256, -(-(count + 1) // 256) * 256),  # rows alone
        (count, None, count),
    ]:
        model.resize_token_embeddings(asked, padded)
        assert config.text_config.vocab_size == rows
        assert config.token_count == (asked or count + 1)
    assert forced(model, count - 1) != count - 1  # the last token is a marker


def test_the_base_model_is_resized_in_the_same_way(model: Any) -> None:
    model.model.resize_token_embeddings(model.config.token_count + 200)
    assert model.model.config.token_count == model.model.embed(torch.tensor([[0]])).new_tensor(
        model.model.get_input_embeddings().num_embeddings
    )


def test_markers_cannot_be_cut_off(model: Any) -> None:
    highest = max(model.config.media_ids())
    before = model.get_input_embeddings().num_embeddings
    with pytest.raises(PartError, match=f"keep at least {highest + 1} tokens"):
        model.resize_token_embeddings(highest)
    assert model.get_input_embeddings().num_embeddings == before


def test_trained_markers_keep_their_rows(model: Any) -> None:
    ids = model.config.learned_ids("image")
    model.model.marker_embedding = MarkerEmbedding(ids, model.get_input_embeddings())
    with torch.no_grad():
        model.model.marker_embedding.rows.weight.add_(1.0)
    batch = batch_of(model, [[user(picture(1), "What?")]])
    with torch.no_grad():
        before = model(**batch).logits
        model.resize_token_embeddings(model.config.token_count + 5)
        after = model(**batch).logits
    count = min(before.shape[-1], after.shape[-1], model.config.token_count - 5)
    torch.testing.assert_close(after[..., :count], before[..., :count], rtol=0, atol=1e-5)


def test_tokens_without_a_resize_are_told_on_loading(model: Any, tmp_path: Path) -> None:
    """Rows are there, as the matrix is padded, but nothing says that they are tokens now."""
    model.processor.tokenizer.add_tokens(["<tool>"])
    save(model, tmp_path / "saved")
    with pytest.raises(CheckpointError, match="resize_token_embeddings"):
        mmmodal.load(tmp_path / "saved")
    model.resize_token_embeddings(model.get_input_embeddings().num_embeddings)
    save(model, tmp_path / "again")
    new = model.config.token_count - 1
    assert forced(mmmodal.load(tmp_path / "again"), new) == new


def test_a_copy_is_resized_alone(model: MMModalForConditionalGeneration) -> None:
    count = model.config.token_count
    twin: Any = copy.deepcopy(model)
    twin.resize_token_embeddings(count + 1)
    assert model.config.token_count == count and twin.config.token_count == count + 1
