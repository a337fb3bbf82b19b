"""Estimate the memory of a training step, by purpose, without allocating it.

The model's own forward and backward pass run on fake tensors, which have a shape and no memory,
while the tensors held at the same time are counted. The memory that DeepSpeed partitions or
offloads is then computed by the rules of its stages (ZeRO: arXiv 1910.02054 §5, offload: arXiv
2101.06840 §4).

B rows of a batch, T tokens, M feature vectors of a modality, D width.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from mmmodal.contracts.encoder import encoded
from mmmodal.contracts.projector import projected
from mmmodal.errors import PartError
from mmmodal.model.attention import use_attention
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.samples.feature_cache.stored import StoredTower
from mmmodal.train.preflight.live_memory import LiveMemory, quiet_failures
from mmmodal.train.preflight.skeleton import give_shapes, skeleton, trained_rows
from mmmodal.train.preflight.zero_memory import Zero
from mmmodal.train.recipe import Recipe
from mmmodal.train.stage.plan import held_dtype

__all__ = ["Memory", "Step", "UnknownMemoryError", "estimate_memory"]


class UnknownMemoryError(Exception):
    """A language model, by the name of its class, that does not run on fake tensors."""


@dataclass(frozen=True)
class Step:
    """The conversations of a step on one GPU, for which memory is estimated."""

    rows: int
    """B"""

    tokens: int
    """T"""

    supervised: float = 1.0
    """The share of supervised positions; only these are passed to the head."""

    media: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """The collated features of one row's items, by modality."""

    vectors: Mapping[str, int] = field(default_factory=dict)
    """The number of slots of one row's items, by modality."""

    stored: frozenset[str] = frozenset()
    """The modalities with stored features; `media` has these features, and no tower runs."""


@dataclass(frozen=True)
class Memory:
    """The peak memory of one GPU in bytes; without a GPU, that of the machine."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """Tensors that the forward pass keeps for the backward pass, and temporary ones."""

    logits: int
    """The additional memory of the head and the loss."""

    host: int = 0
    """The main memory that DeepSpeed uses, for all GPUs of the machine."""

    unknown: tuple[str, ...] = ()
    """The modalities whose tower cannot run on fake tensors; it is not counted."""

    @property
    def total(self) -> int:
        """The total on the GPU."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def estimate_memory(
    recipe: Recipe,
    folder: str,
    step: Step,
    *,
    half: torch.dtype | None,
    zero: Zero | None,
    ranks: int = 1,
) -> Memory:
    """Return the estimated memory of one step of a recipe.

    Args:
        recipe: the recipe.
        folder: the model's folder, of which only the configuration is read.
        step: the conversations of the step.
        half: the precision of arithmetic, or None for fp32.
        zero: the settings of DeepSpeed, or None without it.
        ranks: the number of GPUs.

    Raises:
        UnknownMemoryError: the language model does not run on fake tensors.
    """
    model = skeleton(folder, recipe.train)
    for name in step.stored:
        setattr(model.model, f"{name}_tower", StoredTower())
    if recipe.attn_implementation == "eager":  # only this one stores all attention weights
        use_attention(model, "eager")
    media = {
        name: {key: _repeated(value, step.rows) for key, value in inputs.items()}
        for name, inputs in step.media.items()
    }
    with FakeTensorMode(allow_non_fake_inputs=True):
        give_shapes(model, lambda p: held_dtype(p.requires_grad, half, zero is not None))
        rows = trained_rows(model, recipe.train)
        run = _Run(model, recipe, replace(step, media=media), half if zero is None else None, rows)
        # Otherwise gradients remain from the last step, or DeepSpeed moves them.
        grows = zero is None and recipe.accumulation == 1
        with quiet_failures():
            with_logits, without = (run.peak(logits, grows) for logits in (True, False))
    weights = _bytes(model.parameters()) + run.overlay_bytes
    trained = [p for p in (*model.parameters(), run.overlay) if p is not None and p.requires_grad]
    gradients = _bytes(trained)
    shares = {"weights": weights, "gradients": gradients, "optimizer": 2 * gradients}
    if zero is not None:
        count = sum(parameter.numel() for parameter in trained)
        shares = zero.share(weights, count, 2 if half is not None else 4, ranks)
    return Memory(
        weights=shares["weights"],
        gradients=shares["gradients"],
        optimizer=shares["optimizer"],
        activations=max(without - (gradients if grows else 0), 0),
        logits=max(with_logits - without, 0),
        host=shares.get("host", 0),
        unknown=tuple(sorted(run.unknown)),
    )


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Run:
    """A step of a model of fake tensors."""

    def __init__(
        self,
        model: MMModalForConditionalGeneration,
        recipe: Recipe,
        step: Step,
        autocast: torch.dtype | None,
        rows: int,
    ) -> None:
        self._model = model
        self._step = step
        self._autocast = autocast
        self._masked = step.rows > 1 and not recipe.packing
        self.unknown: set[str] = set()
        width = model.model.width
        self.overlay = nn.Parameter(torch.empty(rows, width)) if rows else None
        self.overlay_bytes = 4 * rows * width
        if recipe.gradient_checkpointing:
            # Fake tensors have no random state to preserve.
            settings = {"use_reentrant": False, "preserve_rng_state": False}
            # transformers 5.23 renamed this attribute.
            old, new = "gradient_checkpointing_enable", "activation_checkpointing_enable"
            getattr(model, new if hasattr(model, new) else old)(settings)

    def peak(self, logits: bool, gradients: bool) -> int:
        """Return the peak memory besides the weights.

        Args:
            logits: whether to compute logits and a loss.
            gradients: whether to count the gradients of the weights.
        """
        trained = [
            parameter
            for parameter in (*self._model.parameters(), self.overlay)
            if parameter is not None and parameter.requires_grad
        ]
        hooks = [] if gradients else [p.register_post_accumulate_grad_hook(_drop) for p in trained]
        memory = LiveMemory()
        with memory:
            with self._precision():
                loss = self._loss(logits)
            torch.autograd.backward(loss)
            for parameter in trained:
                parameter.grad = None
        for hook in hooks:
            hook.remove()
        return int(memory.peak)

    def _precision(self) -> Any:
        if self._autocast is None:
            return contextlib.nullcontext()
        return torch.autocast("cpu", self._autocast)

    def _loss(self, logits: bool) -> Tensor:
        model, step = self._model, self._step
        labels = torch.zeros(step.rows, step.tokens, dtype=torch.long)  # [B, T]
        embeddings = self._embeddings(labels)
        hidden = self._hidden(embeddings)
        if not logits:
            summed: Tensor = hidden.sum()
            return summed
        count = math.ceil(labels.numel() * step.supervised)  # M
        rows = hidden.flatten(0, 1).index_select(0, torch.arange(count))  # [M, D]
        loss: Tensor = model.head.summed_loss(model.lm_head, rows, labels.flatten()[:count])
        return loss

    def _hidden(self, embeddings: Tensor) -> Tensor:
        """Return the hidden states [B, T, D] of embeddings.

        Raises:
            UnknownMemoryError: the language model reads values, which fake tensors do not have.
        """
        language: Any = self._model.model.language_model
        for mask in (self._mask(embeddings.dtype), None):  # OPT and Mamba take no mask of blocks
            try:
                output = language(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
            except Exception as error:  # whatever the class raises
                reason = error
                continue
            hidden: Tensor = output[0]
            return hidden
        raise UnknownMemoryError(type(language).__name__) from reason

    def _embeddings(self, ids: Tensor) -> Tensor:
        """Return embeddings [B, T, D] of tokens, with marker rows and features in their places."""
        embeddings: Tensor = self._model.get_input_embeddings()(ids)
        if self.overlay is not None:
            is_row = torch.zeros(*ids.shape, 1, dtype=torch.bool)
            embeddings = torch.where(is_row, self.overlay[ids].to(embeddings.dtype), embeddings)
        features = [self._features(name) for name in self._step.media]
        if not features:
            return embeddings
        values = torch.cat(features).to(embeddings.dtype)  # [M, D]
        flat = embeddings.flatten(0, 1).index_copy(0, torch.arange(len(values)), values)
        return flat.view_as(embeddings)

    def _features(self, name: str) -> Tensor:
        """Return the projected features of a modality, for the items of all rows."""
        base, rows = self._model.model, self._step.rows
        tower = base.tower(name)
        trains = any(parameter.requires_grad for parameter in tower.parameters())
        inputs = {
            key: torch.empty(value.shape, dtype=base.dtype, device="cpu")
            if value.is_meta
            else value
            for key, value in self._step.media[name].items()
        }
        for training in dict.fromkeys((tower.training, False)):
            tower.train(training)  # in training, Whisper's tower draws a random number and reads it
            try:
                with torch.set_grad_enabled(trains):
                    found = encoded(base.encoders[name], tower, inputs)  # N of [*shape, D_enc]
                return projected(base.projectors[name], base.projector(name), found)[0]
            except PartError:  # the tower reads values, which fake tensors do not have
                continue
        self.unknown.add(name)
        width = self._model.model.width
        return torch.empty(rows * self._step.vectors[name], width, dtype=base.dtype)

    def _mask(self, dtype: torch.dtype) -> Tensor:
        """Return an attention mask [B, 1, T, T], which takes no memory unless rows are padded."""
        rows, tokens = self._step.rows, self._step.tokens
        if self._masked:
            return torch.ones(rows, 1, tokens, tokens, dtype=torch.bool)
        return torch.zeros((), dtype=self._autocast or dtype).expand(rows, 1, tokens, tokens)


def _repeated(value: Tensor, rows: int) -> Tensor:
    """Return the tensor of all rows; integers, whose values towers read, are real tensors."""
    if not value.is_floating_point():
        return value.repeat(rows, *[1] * (value.dim() - 1))
    return value.new_empty(rows * len(value), *value.shape[1:], device="meta")


def _drop(parameter: nn.Parameter) -> None:
    parameter.grad = None
