"""The head of any causal language model, with its operations on hidden states and logits.

Heads differ: that of Phi has a bias, Granite divides its logits, Gemma 2 caps them. The model's own
class therefore computes the logits. It is built without weights, and its decoder is replaced by one
that returns its input.

B batch, T tokens, M supervised positions, D width, V rows of the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import PartError
from mmmodal.model.zero3 import whole_weights

__all__ = ["Head", "new_lm_head"]

LOGITS = 2**25
"""The number of logits held at a time: 128 MiB in fp32, and three temporary copies of that size."""

ROWS = 128
"""The minimum number of positions at a time: with fewer, reading the matrix takes most time."""

SPREAD_CHUNKS = 8
"""The number of steps of the loss if ZeRO-3 gathers the head for each step. The ranks gather it
together, so the number must be equal on all ranks, whatever their numbers of positions."""


class _Given(nn.Module):
    """A replacement of the decoder that returns the embeddings it gets as hidden states."""

    def forward(
        self, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


class Head:
    """Compute logits from hidden states as the class of a causal language model does."""

    def __init__(self, text_config: PreTrainedConfig) -> None:
        self._model = _without_weights(text_config)
        self.decoder_prefix = self._model.base_model_prefix
        if not hasattr(self._model, self.decoder_prefix):
            raise PartError(
                f"{type(self._model).__name__} has no decoder named {self.decoder_prefix!r}"
            )
        self.lm_head = self._model.get_output_embeddings()
        if not isinstance(self.lm_head, nn.Linear):
            raise PartError(f"the head of {type(self._model).__name__} is not a linear layer")
        setattr(self._model, self.decoder_prefix, _Given())

    @property
    def own_preparation(self) -> Callable[..., dict[str, Any]] | None:
        """The class's override of transformers' `prepare_inputs_for_generation`, or None."""
        usual = GenerationMixin.prepare_inputs_for_generation
        if getattr(type(self._model), usual.__name__, usual) is usual:
            return None
        prepare: Any = self._model.prepare_inputs_for_generation
        return prepare  # type: ignore[no-any-return]

    def logits(
        self, lm_head: nn.Module, hidden: Tensor, logits_to_keep: int | Tensor = 0
    ) -> Tensor:
        """Return logits [B, T or kept, vocabulary] of hidden states [B, T, D] by `lm_head`."""
        if self._model.get_output_embeddings() is not lm_head:
            self._model.set_output_embeddings(lm_head)
        output = self._model(inputs_embeds=hidden, logits_to_keep=logits_to_keep, use_cache=False)
        logits: Tensor = output.logits
        return logits

    def loss(
        self,
        lm_head: nn.Module,
        hidden: Tensor,
        labels: Tensor,
        num_items: Tensor | int | None = None,
        shift_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss of the supervised positions, without holding all logits at once.

        Only these positions are passed to `lm_head`, some at a time, and the backward pass computes
        their logits again. The loss equals that of transformers' `ForCausalLMLoss`.

        Args:
            lm_head: the linear layer of the head.
            hidden: the decoder's output, [B, T, D].
            labels: the token at each position, not shifted, or `IGNORE`, [B, T].
            num_items: the divisor of the sum instead of M, if B is a part of the batch.
            shift_labels: the next token of each position or `IGNORE`, instead of `labels`.
        """
        if shift_labels is None:
            shift_labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE)
        targets = shift_labels.to(hidden.device)
        supervised = targets != IGNORE
        rows, wanted = hidden[supervised], targets[supervised]  # [M, D], [M]
        count: Tensor | int = len(rows) if num_items is None else num_items
        weight = 1.0
        if not len(rows):
            # A rank without such positions must still run the head, as others do, and adds zero.
            rows, wanted, weight = hidden[0, :1], labels.new_zeros(1).to(hidden.device), 0.0
            count = 1
        return weight * self.summed_loss(lm_head, rows, wanted) / count

    def summed_loss(self, lm_head: nn.Module, rows: Tensor, wanted: Tensor) -> Tensor:
        """Return the sum of the losses of hidden states [M, D] with next tokens `wanted` [M]."""
        how: dict[str, Any] = {
            "use_reentrant": False,
            "preserve_rng_state": False,
        }  # a head uses no random numbers
        return torch.stack(
            [
                checkpoint(self._loss_of_some, lm_head, some, right, **how)
                for some, right in self._chunks(lm_head, rows, wanted)
            ]
        ).sum()

    def _loss_of_some(self, lm_head: nn.Module, rows: Tensor, wanted: Tensor) -> Tensor:
        logits = self.logits(lm_head, rows[None])[0]  # [some of M, V]
        return cross_entropy(logits.float(), wanted, reduction="sum")

    def _chunks(
        self, lm_head: nn.Module, rows: Tensor, wanted: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        size = max(ROWS, LOGITS // self.lm_head.out_features)
        count = -(-len(rows) // size)
        if any(hasattr(parameter, "ds_id") for parameter in lm_head.parameters()):
            count = SPREAD_CHUNKS
        return zip(rows.tensor_split(count), wanted.tensor_split(count), strict=True)


def new_lm_head(head: Head) -> nn.Linear:
    """Return a linear layer of the size of the head, on the current device."""
    size = head.lm_head
    return nn.Linear(size.in_features, size.out_features, bias=size.bias is not None)


def _without_weights(text_config: PreTrainedConfig) -> PreTrainedModel:
    config = copy.deepcopy(text_config)
    with whole_weights(), torch.device("meta"):
        # Attention never runs here, so no attention library is required.
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, attn_implementation="eager"
        )
    return model
