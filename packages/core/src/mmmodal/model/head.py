"""The head of any causal language model, with whatever it does to hidden states and logits.

Models differ there: Phi's head has a bias, Granite divides its logits, Gemma 2 caps them. So the
model's own class computes the logits: built without weights, its decoder replaced by one that
returns what it is given.

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
"""How many logits are held at a time: 128 MiB of them in fp32, and about as much thrice over."""

ROWS = 128
"""The fewest positions at a time: with fewer the matrix is read more than it is used."""

SPREAD_CHUNKS = 8
"""In how many steps the loss is computed where ZeRO-3 fetches the head for each: the ranks fetch
it together, so it must be as many on all of them, however many positions each has."""


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

    def loss(
        self,
        lm_head: nn.Module,
        hidden: Tensor,
        labels: Tensor,
        num_items: Tensor | int | None = None,
    ) -> Tensor:
        """Return the mean loss of the supervised positions, without ever holding all logits.

        Only those positions reach `lm_head`, some at a time, and what the backward pass needs of
        their logits is computed again then. Equal to transformers' `ForCausalLMLoss`.

        Args:
            lm_head: the linear layer of the head.
            hidden: the decoder's output, [B, T, D].
            labels: the token at each position, not shifted, or `IGNORE`, [B, T].
            num_items: what the sum is divided by instead of M, where B is a part of the batch.
        """
        targets = labels[:, 1:].to(hidden.device)
        supervised = targets != IGNORE
        rows, wanted = hidden[:, :-1][supervised], targets[supervised]  # [M, D], [M]
        count: Tensor | int = len(rows) if num_items is None else num_items
        weight = 1.0
        if not len(rows):
            # A rank without any must still run the head where others do, and add nothing.
            rows, wanted, weight = hidden[0, :1], labels.new_zeros(1).to(hidden.device), 0.0
            count = 1
        return weight * self.summed_loss(lm_head, rows, wanted) / count

    def summed_loss(self, lm_head: nn.Module, rows: Tensor, wanted: Tensor) -> Tensor:
        """Add up the losses of hidden states [M, D] whose next tokens are `wanted` [M]."""
        how: dict[str, Any] = {
            "use_reentrant": False,
            "preserve_rng_state": False,
        }  # nothing is drawn in a head
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
