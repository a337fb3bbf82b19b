"""Attach adapters to a model, load their weights from a folder, and merge them into the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmmodal.adapters.folder import Adapter, AdapterSettings
from mmmodal.adapters.targets import adapted_layers
from mmmodal.errors import CheckpointError, PartError
from mmmodal.model.modeling import MMModalForConditionalGeneration

if TYPE_CHECKING:
    from mmmodal.adapters.lora import Lora

__all__ = ["attach", "fill", "merge", "put_on", "settings_of", "stored_tensors"]

PREFIX = "base_model.model."
"""The prefix of every name that PEFT stores."""

ROWS = ".token_adapter.trainable_tokens_delta"
"""PEFT's name for the stored rows of an embedding."""

OVERLAY = "model.marker_embedding.rows.weight"


def attach(
    model: MMModalForConditionalGeneration,
    layers: Sequence[str],
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
) -> None:
    """Attach a new adapter, which changes no output yet, to each of `layers`; freeze the rest.

    Raises:
        PartError: a layer cannot have an adapter.
    """
    from peft import LoraConfig

    whole: Any = alpha
    config = LoraConfig(r=rank, lora_alpha=whole, lora_dropout=dropout, target_modules=list(layers))
    try:
        model.add_adapter(config)
    except ValueError as error:
        raise PartError(f"LoRA cannot be attached to this model: {error}") from None
    if (found := adapted_layers(model)) != sorted(layers):
        wrong = sorted(set(found) ^ set(layers))
        raise PartError(f"PEFT attached LoRA to layers not requested, such as {wrong[0]!r}")


def put_on(model: MMModalForConditionalGeneration, adapter: Adapter) -> None:
    """Attach an adapter to its base model, with its weights.

    Raises:
        CheckpointError: it does not fit the model.
    """
    settings = adapter.settings
    known = dict(model.named_modules())
    for layer in settings.target_modules:
        if layer not in known:
            raise CheckpointError(f"{adapter.source} is for a model with a layer {layer!r}")
    attach(
        model,
        settings.target_modules,
        rank=settings.r,
        alpha=settings.lora_alpha,
        dropout=settings.lora_dropout,
    )
    fill(model, adapter)


@torch.no_grad()
def fill(model: MMModalForConditionalGeneration, adapter: Adapter) -> None:
    """Copy all tensors of an adapter into a model to which the same adapters are attached.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape.
    """
    tensors = adapter.tensors()
    parameters = dict(model.named_parameters())
    expected = {_stored(name) for name in parameters if ".lora_" in name}
    if missing := sorted(expected - tensors.keys()):
        raise CheckpointError(f"{adapter.source}: {missing[0]!r} is missing from its weights")
    for name, tensor in tensors.items():
        if name.endswith(ROWS):
            _fill_rows(model, adapter, tensor)
            continue
        target = parameters.get(_running(name))
        if target is None or target.shape != tensor.shape:
            raise CheckpointError(f"{adapter.source}: {name!r} does not fit its base")
        target.copy_(tensor)


def _fill_rows(model: MMModalForConditionalGeneration, adapter: Adapter, rows: Tensor) -> None:
    """Copy marker rows [rows, D] into the embedding, or into their overlay if they are trained."""
    ids, table = adapter.settings.marker_ids, model.get_input_embeddings()
    weight: Any = table.weight
    fits = rows.shape == (len(ids), weight.shape[1]) and all(0 <= i < len(weight) for i in ids)
    if not fits:
        raise CheckpointError(f"{adapter.source}: its marker rows do not fit its base")
    weight[torch.tensor(ids, device=weight.device)] = rows.to(weight.device, weight.dtype)
    overlay = model.model.marker_embedding
    if overlay is not None:
        places = {id_: row for row, id_ in enumerate(overlay.ids.tolist())}
        for id_, row in zip(ids, rows, strict=True):
            if id_ in places:
                overlay.rows.weight[places[id_]] = row.to(overlay.rows.weight)


def stored_tensors(
    model: MMModalForConditionalGeneration, trained: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return trained weights by the names under which PEFT stores them."""
    rows = f"{PREFIX}{embedding_name(model)}{ROWS}"
    return {rows if name == OVERLAY else _stored(name): value for name, value in trained.items()}


def embedding_name(model: MMModalForConditionalGeneration) -> str:
    """Return the full name of the language model's token embedding."""
    wanted = model.get_input_embeddings()
    return next(str(name) for name, module in model.named_modules() if module is wanted)


def settings_of(
    model: MMModalForConditionalGeneration,
    base: str,
    lora: Lora,
    tensors: Mapping[str, Tensor],
    ids: Sequence[int],
) -> AdapterSettings:
    """Return the settings of an adapter with `tensors`; `ids` are those of its marker rows."""
    projectors = [f"model.{name}_projector" for name in model.config.modality_names]
    kept = [
        name
        for name in projectors
        if any(key.startswith(f"{PREFIX}{name}.") and ".lora_" not in key for key in tensors)
    ]
    has_rows = any(key.endswith(ROWS) for key in tensors)
    return AdapterSettings(
        base_model_name_or_path=base,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=tuple(adapted_layers(model)),
        modules_to_save=tuple(kept) or None,
        trainable_token_indices={embedding_name(model): tuple(ids)} if has_rows else None,
    )


@torch.no_grad()
def merge(model: MMModalForConditionalGeneration) -> None:
    """Add all adapters to the weights of their layers, and remove them."""
    for name in adapted_layers(model):
        layer: Any = model.get_submodule(name)
        layer.merge(safe_merge=True)
        model.set_submodule(name, layer.get_base_layer())
    model.delete_adapter("default")
    model.requires_grad_(True)


def _stored(name: str) -> str:
    return PREFIX + re.sub(r"\.(lora_[AB])\.default\.", r".\1.", name)


def _running(name: str) -> str:
    return re.sub(r"\.(lora_[AB])\.", r".\1.default.", name.removeprefix(PREFIX))
