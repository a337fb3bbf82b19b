"""The loss is the mean over all supervised tokens, however the head and the batch are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import mmmodal.model.head as heads
from mmmodal.conversation.rendering import IGNORE
from mmmodal.model.head import Head
from tiny_architectures import tiny_causal

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def gradients(loss: torch.Tensor, *sources: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, sources)


@pytest.fixture
def labels() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 90, (3, 40), generator=generator)
    labels[torch.rand(3, 40, generator=generator) < 0.6] = IGNORE
    return labels


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "granite", "phi"])
def test_it_equals_that_of_the_models_own_logits(
    architecture: str, labels: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tied, capped, scaled and biased heads, in chunks of a few positions."""
    monkeypatch.setattr(heads, "LOGITS", 0)
    monkeypatch.setattr(heads, "ROWS", 7)
    tiny_causal(tmp_path, architecture)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(120).view(3, 40) % 90
    hidden = model.base_model(ids).last_hidden_state.detach().requires_grad_()
    weights = list(model.get_output_embeddings().parameters())
    expected = model.loss_function(
        _logits_of(model, hidden), labels, vocab_size=model.config.vocab_size
    )
    found = Head(model.config).loss(model.get_output_embeddings(), hidden, labels)
    torch.testing.assert_close(found, expected, **CLOSE)
    pairs = zip(
        gradients(found, hidden, *weights), gradients(expected, hidden, *weights), strict=True
    )
    for given, wanted in pairs:
        torch.testing.assert_close(given, wanted, **CLOSE)


def _logits_of(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Run the whole published class on hidden states, its decoder out of the way."""

    class Given(torch.nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            from transformers.modeling_outputs import BaseModelOutputWithPast

            return BaseModelOutputWithPast(last_hidden_state=hidden)

    decoder = getattr(model, model.base_model_prefix)
    setattr(model, model.base_model_prefix, Given())
    try:
        logits: torch.Tensor = model(input_ids=torch.zeros(1, 1, dtype=torch.long)).logits
    finally:
        setattr(model, model.base_model_prefix, decoder)
    return logits


def test_only_supervised_positions_reach_the_head(labels: torch.Tensor, tmp_path: Path) -> None:
    model = tiny_causal(tmp_path, "llama")
    lm_head: Any = model.get_output_embeddings()
    seen: list[int] = []
    lm_head.register_forward_hook(lambda module, args, output: seen.append(output[..., 0].numel()))
    hidden = torch.randn(3, 40, 64, requires_grad=True)
    Head(model.config).loss(lm_head, hidden, labels)
    assert sum(seen) == int((labels[:, 1:] != IGNORE).sum())


def test_no_more_logits_are_held_than_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "LOGITS", 0)
    monkeypatch.setattr(heads, "ROWS", 16)
    model = tiny_causal(tmp_path, "llama")
    lm_head: Any = model.get_output_embeddings()
    seen: list[int] = []
    lm_head.register_forward_hook(lambda module, args, output: seen.append(output[..., 0].numel()))
    kept: list[int] = []
    vocabulary = lm_head.out_features

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel() if tensor.shape[-1] == vocabulary else 0)
        return tensor

    hidden = torch.randn(2, 50, 64, requires_grad=True)
    labels = torch.ones(2, 50, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = Head(model.config).loss(lm_head, hidden, labels)
    assert max(seen) <= 16 and len(seen) == 7
    assert not any(kept)  # the graph holds no logits
    loss.backward()


def test_a_batch_without_any_label_has_no_loss_and_still_runs_the_head(tmp_path: Path) -> None:
    """As the step of a rank for which no batch is left."""
    model = tiny_causal(tmp_path, "llama")
    hidden = torch.randn(1, 1, 64, requires_grad=True)
    lm_head: Any = model.get_output_embeddings()
    loss = Head(model.config).loss(lm_head, hidden, torch.tensor([[IGNORE]]), num_items=12)
    loss.backward()
    assert loss.item() == 0.0
    assert lm_head.weight.grad is not None and not lm_head.weight.grad.any()
