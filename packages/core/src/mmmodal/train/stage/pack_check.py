"""Check by running it that a language model separates the samples of a pack."""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from mmmodal.errors import ConfigError
from mmmodal.model.attention import use_attention
from mmmodal.model.varlen import PACK, VARLEN, place_bounds, supports_varlen
from mmmodal.samples.collation import Sample, collate_pack

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["PackCheck", "attend_by_sample", "check_positions", "check_separable", "keeps_apart"]

NEIGHBOURS, SAMPLE = 7, 9  # tokens
SAME = 1e-3
"""Tolerance for rounding in half precision on a GPU; the effect of another sample is larger."""

NEARLY_SAME = 0.05
"""The tolerance between rows of different lengths."""


def attend_by_sample(model: MMModalForConditionalGeneration) -> None:
    """Set attention that is computed sample by sample, if the language model supports it."""
    if supports_varlen(model.get_decoder()):  # type: ignore[arg-type]
        use_attention(model, VARLEN)


def check_separable(language: PreTrainedModel) -> None:
    """Check by the class of a language model that it can separate the samples of a pack.

    `PackCheck` finds the others, for which the weights are needed.

    Raises:
        ConfigError: it keeps a state, or takes no positions.
    """
    kinds = set(getattr(language.config, "layer_types", None) or ())
    attends = all(kind.endswith("attention") and kind != "linear_attention" for kind in kinds)
    name = type(language).__name__
    if not attends or getattr(language, "_is_stateful", False):
        raise _refused(
            f"{name} keeps a state from token to token, also across the samples of a pack; set "
            "packing=false"
        )
    if "position_ids" not in inspect.signature(type(language).forward).parameters:
        raise _refused(
            f"{name} takes no positions, which separate the samples of a pack; set packing=false"
        )


def check_positions(model: MMModalForConditionalGeneration, max_tokens: int) -> None:
    """Check that the positions of a pack do not depend on its longest sample.

    Raises:
        ConfigError: the language model changes all position embeddings beyond a length, and
            samples can be longer.
    """
    config = model.config.text_config
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") not in ("dynamic", "longrope"):
        return
    usual = rope.get("original_max_position_embeddings")
    usual = usual or getattr(config, "original_max_position_embeddings", None)
    usual = usual or config.max_position_embeddings
    if max_tokens > usual:
        raise _refused(
            f"{config.model_type} changes position embeddings in samples of more than {usual} "
            f"tokens, and in their whole pack; set max_tokens={usual} or packing=false"
        )


class PackCheck(TrainerCallback):
    """Run the check before the first step, when the model is partitioned over ranks already."""

    def __init__(self, half: torch.dtype | None = None) -> None:
        self._half = half
        """The precision of arithmetic; None: that of the weights."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Check that samples do not attend to each other.

        Raises:
            ConfigError: they do.
        """
        language: PreTrainedModel = model.get_decoder()
        cast: Any = contextlib.nullcontext()
        if self._half is not None:
            cast = torch.autocast(args.device.type, self._half)
        with cast:
            apart = keeps_apart(language)
        if not apart:
            raise _refused(
                f"with {language.config._attn_implementation} attention {type(language).__name__} "
                "attends across the samples of a pack; set packing=false"
            )


@torch.no_grad()
def keeps_apart(language: PreTrainedModel) -> bool:
    """Return whether a sample has equal hidden states with different neighbours and alone."""
    training = language.training
    language.eval()
    try:
        first, second, sample = (
            list(range(start, start + length))
            for start, length in ((3, NEIGHBOURS), (13, NEIGHBOURS), (23, SAMPLE))
        )
        one, other = _run(language, first, sample), _run(language, second, sample)
        alone = _run(language, sample)
    finally:
        language.train(training)
    return _distance(one, other) < SAME and _distance(one, alone) < NEARLY_SAME


def _run(language: PreTrainedModel, *samples: list[int]) -> Tensor:
    """Return the hidden states [T, D] of the last sample of a pack."""
    pack = collate_pack([Sample(ids, ids) for ids in samples], {}, {}, pad_token_id=0)
    inputs = {key: pack[key] for key in ("position_ids", *PACK)}
    inputs = {k: v.to(language.device) if torch.is_tensor(v) else v for k, v in inputs.items()}
    mask = place_bounds(language, None, inputs)
    output = language(
        input_ids=pack["input_ids"].to(language.device),
        attention_mask=mask,
        use_cache=False,
        **inputs,
    )
    hidden: Tensor = output[0][0, -len(samples[-1]) :]
    return hidden.float()


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _refused(reason: str) -> ConfigError:
    return ConfigError("packing", [reason])
