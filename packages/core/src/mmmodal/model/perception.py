"""Perception: run the towers and projectors of a model on all media of a batch.

N items of a modality, M their feature vectors, D the language model's width.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mmmodal.contracts import Encoder, Projector
from mmmodal.contracts.building import example_features
from mmmodal.contracts.encoder import collated, encoded
from mmmodal.contracts.projector import projected
from mmmodal.errors import ContractError, SpliceError
from mmmodal.faults import named
from mmmodal.model.examination import examine
from mmmodal.model.splice import Features
from mmmodal.model.values import FiniteValues

__all__ = ["MediaFeatures", "Perception", "as_features", "names_media"]


@dataclass
class MediaFeatures(BaseModelOutputWithPooling):
    """The projected features of the items of one modality."""

    pooler_output: Tensor | None = None
    """[M, D], all items concatenated."""

    lengths: Sequence[int] | None = None
    """The number of vectors of each item."""


def as_features(output: Any) -> Features:
    """Return features of our own output, a list of items, or a chunk of prefill, [1, rows, D]."""
    values = output.pooler_output
    if not isinstance(values, Tensor):
        return Features(torch.cat(list(values)), [len(item) for item in values])
    return Features(values.flatten(0, -2), getattr(output, "lengths", None))


class Perception(nn.Module):
    """The methods of a model that encode media with the tower and projector of each modality."""

    config: Any  # MMModalConfig; transformers reads annotations of this name
    encoders: dict[str, Encoder]
    projectors: dict[str, Projector]
    width: int
    """The width D of a token embedding, which need not be that of the layers (OPT)."""

    finite: FiniteValues | None = None
    """A note of the parts whose values are not finite; training sets it."""

    def tower(self, modality: str) -> nn.Module:
        """Return the network of a modality's encoder."""
        return self.get_submodule(f"{modality}_tower")

    def projector(self, modality: str) -> nn.Module:
        """Return the network of a modality's projector."""
        return self.get_submodule(f"{modality}_projector")

    def get_features(self, modality: str, *args: Tensor, **inputs: Any) -> MediaFeatures:
        """Return the projected features of one modality, from one call of tower and projector.

        The inputs are the processor's tensors under their names: `pixel_values`, `input_features` …
        """
        if args:
            inputs[self.config.of(modality, "input_name")] = args[0]
        return self._perceive(modality, self._tower_inputs(modality, inputs))

    def _perceive(self, modality: str, inputs: Mapping[str, Tensor]) -> MediaFeatures:
        tower = self.tower(modality)
        trains = any(p.requires_grad for p in tower.parameters())
        followed = any(tensor.requires_grad for tensor in inputs.values())
        # A frozen tower keeps no activations.
        with torch.set_grad_enabled(torch.is_grad_enabled() and (trains or followed)):
            features = encoded(self.encoders[modality], tower, inputs)  # N of [*shape, D_enc]
        width = self.width
        module = self.projector(modality)
        values, lengths = projected(self.projectors[modality], module, features, width)
        if self.finite is not None:
            self.finite.note(self.encoders[modality], "tower", features)
            self.finite.note(self.projectors[modality], "module", [values])
        return MediaFeatures(pooler_output=values, lengths=lengths)

    def _tower_inputs(self, modality: str, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Remove a modality's tensors from `inputs`; return them by the tower's argument names."""
        stem = self.config.of(modality, "input_name")
        found = {}
        for key in [key for key in inputs if key == stem or key.startswith(f"{stem}_")]:
            value = inputs.pop(key)
            if value is not None:
                found["values" if key == stem else key.removeprefix(f"{stem}_")] = self._placed(
                    value
                )
        return found

    def tensor_names(self) -> Iterator[str]:
        """Yield the names of the tensors that the towers read."""
        for modality in self.config.modality_names:
            stem = self.config.of(modality, "input_name")
            for name in _arguments(type(self.tower(modality)).forward):
                yield stem if name == "values" else f"{stem}_{name}"

    def _placed(self, value: Tensor) -> Tensor:
        device: Any = self.device
        dtype: Any = self.dtype if value.is_floating_point() else None
        placed: Tensor = value.to(device, dtype)
        return placed

    def encode_media(
        self, inputs: dict[str, Any], given: Mapping[str, MediaFeatures] | None = None
    ) -> dict[str, MediaFeatures]:
        """Remove the media tensors of all modalities from `inputs`; return their features.

        In training every part runs once per step, in the same order; if the batch has no item of
        its modality, it runs on an example, which counts as no item. If a rank skipped a part, the
        other ranks would wait for its weights (ZeRO-3) or gradients (ZeRO-2, DDP), and a projector
        without a gradient would be updated with its last one again (ZeRO-2 offload: measured).
        """
        outputs = dict(given or {})
        for name in self.config.modality_names:
            raw = self._tower_inputs(name, inputs)
            if raw and name in outputs:
                raise SpliceError(f"{name} is given twice: as tensors and in mm_encoder_outputs")
            if raw:
                outputs[name] = self._perceive(name, raw)
            elif name not in outputs and self.training and torch.is_grad_enabled():
                outputs[name] = self._perceive(name, self._example(name))
                outputs[name].lengths = []
        return outputs

    def blame(self, error: SpliceError, modalities: Iterable[str]) -> SpliceError | ContractError:
        """Return the error of slots that differ from features, with the parts that made these.

        If a part breaks its contract on its own example, that is the error.
        """
        names, width = list(modalities), self.width
        for name in names:
            encoder, projector = self.encoders[name], self.projectors[name]
            tower, module = self.tower(name), self.projector(name)
            if any(hasattr(p, "ds_id") for m in (tower, module) for p in m.parameters()):
                continue  # ZeRO-3 gathers weights for all ranks together
            try:
                examine(encoder, tower, projector, module, width)
            except ContractError as broken:
                return broken
        made = "; ".join(
            f"{name} is made by {named(self.encoders[name])} and {named(self.projectors[name])}"
            for name in names
        )
        return SpliceError(f"{error} ({made})" if made else str(error))

    def _example(self, modality: str) -> dict[str, Tensor]:
        encoder = self.encoders[modality]
        example = collated(encoder, [example_features(encoder)])
        return {key: self._placed(value) for key, value in example.items()}


class names_media:
    """A `forward` whose signature names the tensors of the modalities of each model.

    The Trainer removes the columns of a dataset that are not in the signature of `forward`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __get__(self, model: Any, owner: type) -> Callable[..., Any]:
        if model is None:
            return self._function
        if torch.compiler.is_compiling():  # which cannot trace the rest
            return functools.partial(self._function, model)
        return MethodType(_named(self._function, tuple(model.model.tensor_names())), model)


@functools.cache
def _named(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(function)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    signature = inspect.signature(function)
    *known, more = signature.parameters.values()  # the last one is **kwargs
    named = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in names]
    forward.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*known, *named, more]
    )
    return forward


@functools.cache
def _arguments(forward: Callable[..., Any]) -> list[str]:
    _, *arguments = inspect.signature(forward).parameters.values()  # without self
    return [each.name for each in arguments if each.kind is not inspect.Parameter.VAR_KEYWORD]
