"""Attention over a pack, sample by sample: attention between samples is never computed.

transformers calls it by the name `varlen`, which importing this file registers. The bounds of the
samples replace the attention mask: transformers passes any mask of four dimensions to every layer
unchanged. Without bounds the attention is transformers' `sdpa`.

H heads, T tokens of the pack, S samples, L tokens of one sample, D width of a head.
"""

from __future__ import annotations

import functools
import inspect
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

__all__ = ["PACK", "VARLEN", "bounds_as_mask", "place_bounds", "supports_varlen"]

VARLEN = "varlen"

PACK = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
"""The bounds of a pack's samples and the maximum length, in the form of FlashAttention."""

BOUNDS = torch.int32  # identifies bounds: a mask is boolean or of floats

UNKNOWN_TO_BOUNDS = ("softcap", "s_aux", "position_bias")
"""Arguments of attention functions that are not supported here."""


def bounds_as_mask(bounds: Tensor, longest: int) -> Tensor:
    """Return the bounds [S + 1], from 0 to T, of the samples of one pack in the form of a mask.

    It is a view [1, 1, longest, S + 1] of the bounds: every layer reads the length of the longest
    sample from its shape, as reading it from a tensor would wait for the GPU.
    """
    return bounds.to(BOUNDS)[None, None, None, :].expand(1, 1, longest, -1)


def place_bounds(
    language_model: PreTrainedModel, attention_mask: Tensor | None, inputs: dict[str, Any]
) -> Tensor | None:
    """Remove the bounds of a pack's samples from `inputs`; return them as the attention mask.

    Return None for an attention implementation with masks: transformers separates the samples by
    their positions, which start at zero in each sample. A mask of all pairs of tokens, or several
    by the kind of layer, is returned unchanged, with the bounds in `inputs`.

    Raises:
        ValueError: there is a mask of padding too, which would replace the bounds.
    """
    given = {name: inputs.pop(name, None) for name in PACK}
    bounds, longest = given["cu_seq_lens_q"], given["max_length_q"]
    if bounds is None or longest is None:
        return attention_mask
    if isinstance(attention_mask, dict) or (attention_mask is not None and attention_mask.ndim > 2):
        inputs.update(given)  # transformers' `generate_batch` computes both
        return attention_mask
    if attention_mask is not None:
        raise ValueError("a pack has no attention_mask: it has no padding")
    name = language_model.config._attn_implementation or ""
    if name == VARLEN:
        return bounds_as_mask(bounds, int(longest))
    if name.startswith("flash_attention"):
        inputs.update(given)
    return None


def supports_varlen(model: PreTrainedModel) -> bool:
    """Return whether a language model works with an attention function without masks.

    All that support FlashAttention do: that takes no mask, and sliding windows as a number.
    """
    flags = ("_supports_attention_backend", "_supports_flash_attn", "_supports_sdpa")
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    known = kinds <= {"full_attention", "sliding_attention"}
    known = known and getattr(model.config, "attn_logit_softcapping", None) is None
    return known and all(getattr(model, flag, False) for flag in flags)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return causal attention [1, T, H, D] of tokens [1, H, T, D] within each sample."""
    if attention_mask is None or attention_mask.dtype != BOUNDS:
        return _sdpa(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    for name in UNKNOWN_TO_BOUNDS:
        if kwargs.get(name) is not None:
            raise ValueError(f"`varlen` attention does not support `{name}`; use flex_attention")
    if dropout == 0.0 and _has_kernel(query, value):
        return _by_kernel(query, key, value, attention_mask, scaling, sliding_window), None
    bounds = attention_mask[0, 0, 0].tolist()
    outputs = []
    for start, stop in pairwise(bounds):
        q, k, v = (tensor[:, :, start:stop] for tensor in (query, key, value))  # [1, H, L, D]
        window = _window(stop - start, sliding_window, query.device)
        outputs.append(_sdpa(module, q, k, v, window, dropout, scaling)[0])  # [1, L, H, D]
    return torch.cat(outputs, 1), None


def _sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    output: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, mask, dropout=dropout, scaling=scaling, **kwargs
    )
    return output


def _window(length: int, size: int | None, device: torch.device) -> Tensor | None:
    """Return the mask of a sliding window, [1, 1, L, L]; None if attention is fully causal."""
    if size is None or length <= size:
        return None
    place = torch.arange(length, device=device)
    behind = place[:, None] - place[None, :]
    return ((behind >= 0) & (behind < size))[None, None]


@functools.cache
def _kernel() -> Any:
    """Return torch's own kernel for samples of different lengths, if it supports windows."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if {"window_size", "enable_gqa", "scale"} <= set(known) else None


def _has_kernel(query: Tensor, value: Tensor) -> bool:
    width = query.shape[-1]
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and width == value.shape[-1]
        and width % 8 == 0
        and width <= 256
        and _kernel() is not None
    )


def _by_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float | None,
    sliding_window: int | None,
) -> Tensor:
    bounds, longest = mask[0, 0, 0].contiguous(), mask.shape[2]
    q, k, v = (
        tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)
    )  # [T, H, D]
    behind = -1 if sliding_window is None else sliding_window - 1
    output: Tensor = _kernel()(
        q, k, v, bounds, bounds, longest, longest,
        scale=scaling, window_size=(behind, 0), enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    return output[None]


AttentionInterface.register(VARLEN, attend)
AttentionMaskInterface.register(VARLEN, sdpa_mask)
