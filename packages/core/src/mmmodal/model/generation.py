"""Generation with several media per sample, for every modality alike.

Stock transformers regroups images and videos only; of several clips per sample it repeats each by
itself (A A B B), so that beams and `num_return_sequences` read the wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin

__all__ = ["MediaGenerationMixin", "repeat_per_sample"]


class MediaGenerationMixin(GenerationMixin):
    """Encode all media once, before the first step, and repeat them sample by sample."""

    @torch.no_grad()
    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generate as transformers does; media come under the processor's names."""
        model: Any = self.model  # type: ignore[attr-defined]
        given = kwargs.pop("mm_encoder_outputs", None)
        outputs = model.encode_media(kwargs, given)
        if outputs:
            kwargs["mm_encoder_outputs"] = outputs
        return super().generate(*args, **kwargs)  # type: ignore[misc]

    def _maybe_prepare_encoder_kwargs_for_generation(
        self, inputs_tensor: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        # `generate` has encoded the media of all modalities already.
        return model_kwargs

    def _expand_multimodal_outputs(
        self,
        input_ids: Tensor,
        mm_encoder_output: Mapping[str, Any],
        expand_size: int = 1,
        inputs_embeds: Tensor | None = None,
    ) -> dict[str, Any]:
        config = self.config  # type: ignore[attr-defined]
        expanded = {}
        for name, output in mm_encoder_output.items():
            slots = (input_ids == config.of(name, "token_id")).sum(-1).tolist()  # [B]
            items = list(output.pooler_output.split(list(output.lengths)))
            repeated = repeat_per_sample(items, slots, expand_size)
            expanded[name] = type(output)(
                pooler_output=torch.cat(repeated) if repeated else output.pooler_output,
                lengths=[len(item) for item in repeated],
            )
        return expanded


def repeat_per_sample(items: Sequence[Tensor], slots: Sequence[int], times: int) -> list[Tensor]:
    """Repeat the group of items of each sample: [A, B | C] twice is [A, B, A, B | C, C].

    Args:
        items: the features of each item, in the order of the samples.
        slots: the number of slots of each sample, which says where its items end.
        times: how often each sample is repeated.
    """
    ends = list(accumulate(len(item) for item in items))
    result: list[Tensor] = []
    start = 0
    for total in accumulate(slots):
        stop = start
        while stop < len(items) and ends[stop] <= total:
            stop += 1
        result += list(items[start:stop]) * times
        start = stop
    return result
