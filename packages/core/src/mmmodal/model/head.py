"""The head of any causal language model, with whatever it does to hidden states and logits.

Models differ there: Phi's head has a bias, Granite divides its logits, Gemma 2 caps them. So the
model's own class computes the logits: built without weights, its decoder replaced by one that
returns what it is given.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from mmmodal.errors import PartError
from mmmodal.model.zero3 import whole_weights

__all__ = ["Head", "new_lm_head"]


class _Given(nn.Module):
    """Stand in for the decoder: its output is the hidden states passed in as embeddings."""

    def forward(
        self, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


class Head:
    """Compute logits from hidden states as one causal language model does."""

    def __init__(self, text_config: PreTrainedConfig) -> None:
        self._model = _without_weights(text_config)
        self.decoder_prefix = self._model.base_model_prefix
        if not hasattr(self._model, self.decoder_prefix):
            raise PartError(
                f"{type(self._model).__name__} has no decoder named {self.decoder_prefix!r}"
            )
        self.lm_head = self._model.get_output_embeddings()
        if not isinstance(self.lm_head, nn.Linear):
            raise PartError(f"the head of {type(self._model).__name__} is no linear layer")
        setattr(self._model, self.decoder_prefix, _Given())

    @property
    def own_preparation(self) -> Callable[..., dict[str, Any]] | None:
        """What the class has instead of transformers' `prepare_inputs_for_generation`, if so."""
        usual = GenerationMixin.prepare_inputs_for_generation
        if getattr(type(self._model), usual.__name__, usual) is usual:
            return None
        prepare: Any = self._model.prepare_inputs_for_generation
        return prepare  # type: ignore[no-any-return]

    def logits(
        self, lm_head: nn.Module, hidden: Tensor, logits_to_keep: int | Tensor = 0
    ) -> Tensor:
        """Map hidden states [B, T, D] to logits [B, T or kept, vocabulary] with `lm_head`."""
        if self._model.get_output_embeddings() is not lm_head:
            self._model.set_output_embeddings(lm_head)
        output = self._model(inputs_embeds=hidden, logits_to_keep=logits_to_keep, use_cache=False)
        logits: Tensor = output.logits
        return logits


def new_lm_head(head: Head) -> nn.Linear:
    """Return a linear layer of the size of the head's own, on the current device."""
    size = head.lm_head
    return nn.Linear(size.in_features, size.out_features, bias=size.bias is not None)


def _without_weights(text_config: PreTrainedConfig) -> PreTrainedModel:
    config = copy.deepcopy(text_config)
    with whole_weights(), torch.device("meta"):
        # Attention never runs here, so no attention library is asked for.
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, attn_implementation="eager"
        )
    return model
