"""The head of any causal language model, with its operations on hidden states and logits.

Heads differ: that of Phi has a bias, Granite divides its logits, Gemma 2 caps them, Mixtral adds a
loss of its routers. The model's own class therefore computes logits and that loss. It is built
without weights, and its decoder returns its input.

B batch, T tokens, M supervised positions, D width, V rows of the vocabulary.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

__all__ = ["Head", "decoder_of", "new_lm_head"]

LOGITS = 2**25
"""The number of logits held at a time: 128 MiB in fp32, and three temporary copies of that size."""

ROWS = 128
"""The minimum number of positions at a time: with fewer, reading the matrix takes most time."""

SPREAD_CHUNKS = 8
"""The number of steps of the loss if ZeRO-3 gathers the head for each step. The ranks gather it
together, so the number must be equal on all ranks, whatever their numbers of positions."""


def decoder_of(causal: PreTrainedModel) -> PreTrainedModel:
    """Return the part of a causal language model that turns embeddings into hidden states.

    It is found by the token embeddings in it: its name differs by class, and `base_model_prefix` is
    not always that name (Llama 4).

    Raises:
        PartError: there is none, or no token embeddings.
    """
    try:
        table = causal.get_input_embeddings()
    except NotImplementedError:
        table = None
    for child in causal.children():
        if isinstance(child, PreTrainedModel) and any(m is table for m in child.modules()):
            return child
    raise PartError(f"no decoder with token embeddings was found in {type(causal).__name__}")


@dataclass
class _Hidden(BaseModelOutputWithPastAndCrossAttentions):
    """Hidden states alone: of all else that a class may read of its decoder there is nothing."""

    router_logits: Any = None

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Given:
    """A replacement of the decoder's `forward` that returns the embeddings as hidden states."""

    router_logits: tuple[Tensor, ...] | None = None

    def __call__(self, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any) -> _Hidden:
        return _Hidden(last_hidden_state=inputs_embeds, router_logits=self.router_logits)


def _no_loss(logits: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return 0 as the loss of labels, which `Head.loss` computes in chunks."""
    return logits.new_zeros((), dtype=torch.float32)


class Head:
    """Compute logits from hidden states as the class of a causal language model does."""

    def __init__(self, text_config: PreTrainedConfig) -> None:
        self._model = _without_weights(text_config)
        self._model.loss_function = _no_loss
        self._given = _Given()
        decoder = decoder_of(self._model)
        self.lm_head = self._model.get_output_embeddings()
        if not isinstance(self.lm_head, nn.Linear):
            raise PartError(f"the head of {type(self._model).__name__} is not a linear layer")
        for replaced in {decoder, decoder.get_decoder()}:  # OPT's class calls the inner one
            replaced.forward = self._given

    @property
    def shares_cache(self) -> bool:
        """Whether the class keeps what it has read in the cache that `generate` makes.

        Others have one of their own under another name (Mamba, RWKV, xLSTM), or of another kind
        (MiniMax), which transformers knows by the names of their classes.
        """
        kind: Any = type(self._model)
        takes = inspect.signature(type(decoder_of(self._model)).forward).parameters
        return "past_key_values" in takes and kind._supports_default_dynamic_cache()

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
        logits: Tensor = self._run(lm_head, hidden, logits_to_keep=logits_to_keep).logits
        return logits

    def _run(self, lm_head: nn.Module, hidden: Tensor, **inputs: Any) -> Any:
        """Return the output of the model's class for hidden states [B, T, D]."""
        if self._model.get_output_embeddings() is not lm_head:
            self._model.set_output_embeddings(lm_head)
        return self._model(inputs_embeds=hidden, use_cache=False, **inputs)

    def router_loss(
        self,
        lm_head: nn.Module,
        router_logits: tuple[Tensor, ...],
        labels: Tensor,
        attention_mask: Tensor | None = None,
        num_items: Tensor | int | None = None,
    ) -> Tensor:
        """Return the loss that the class adds for the routers of its experts, with its coefficient.

        If B is a part of the batch, it counts by the supervised positions of that part, so that the
        sum over all parts is a mean.

        Args:
            lm_head: the linear layer of the head.
            router_logits: those of each layer, [B * T, experts].
            labels: the token at each position, or `IGNORE`, [B, T].
            attention_mask: the tokens that are no padding, [B, T]; None: all, as in a pack.
            num_items: the number of supervised positions of the whole batch.
        """
        share: Any = 1.0
        if num_items is not None:
            share = (labels[:, 1:] != IGNORE).sum() / num_items
        weight: Tensor = next(lm_head.parameters())
        hidden = weight.new_zeros(len(labels), 1, self.lm_head.in_features)
        self._given.router_logits = router_logits
        try:
            output = self._run(
                lm_head,
                hidden,
                labels=labels[:, :1],
                attention_mask=attention_mask,
                output_router_logits=True,
            )
        finally:
            self._given.router_logits = None
        loss: Tensor = share * output.loss
        return loss

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

    def log_probabilities(self, lm_head: nn.Module, rows: Tensor, wanted: Tensor) -> Tensor:
        """Return the natural logarithm of the probability of each of the next tokens `wanted` [M].

        Args:
            lm_head: the linear layer of the head.
            rows: the hidden states in front of these tokens, [M, D].
            wanted: the tokens.

        Returns:
            The logarithms in fp32, [M].
        """
        losses = [
            cross_entropy(self.logits(lm_head, some[None])[0].float(), right, reduction="none")
            for some, right in self._chunks(lm_head, rows, wanted)
        ]
        return -torch.cat(losses)

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
