"""Generation with several media per sample, for all modalities.

transformers groups only images and videos by sample; it repeats each of several clips of a sample
separately (A A B B), so that beams and `num_return_sequences` read the wrong clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList

from mmmodal.errors import ConfigError

__all__ = ["MediaGenerationMixin", "NeverGenerated", "repeat_per_sample"]


class NeverGenerated(LogitsProcessor):
    """Exclude ids that are no text, whatever the generation settings are.

    transformers' `suppress_tokens` can be overridden, and compares the whole vocabulary with the
    list in every step (5.23).
    """

    def __init__(self, ids: Sequence[int], device: torch.device) -> None:
        self._ids = torch.tensor(list(ids), dtype=torch.long, device=device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores [B, vocabulary] with those of the ids at minus infinity."""
        return scores.index_fill(-1, self._ids.to(scores.device), -torch.inf)


class MediaGenerationMixin(GenerationMixin):
    """Encode all media once, before the first step, and repeat them by sample."""

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Generate as transformers does; media are passed under the processor's names."""
        model: Any = self.model  # type: ignore[attr-defined]
        given = kwargs.pop("mm_encoder_outputs", None)
        outputs = model.encode_media(kwargs, given)
        if outputs:
            kwargs["mm_encoder_outputs"] = outputs
        never = NeverGenerated(model.config.never_generated(), model.device)
        processors = LogitsProcessorList([*(logits_processor or []), never])
        _refuse_padding(self, kwargs.get("attention_mask"))
        if not self.head.shares_cache:  # type: ignore[attr-defined]
            kwargs["use_cache"] = False  # each step reads the whole prompt
        return super().generate(  # type: ignore[misc]
            inputs, generation_config, processors, *args, **kwargs
        )

    def prepare_inputs_for_generation(
        self, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Prepare a step as the language model's own class does, which may discard the cache.

        Phi-3 discards it where its positions change; then all media are read again. transformers
        accepts embeddings as a prompt only if `inputs_embeds` is in this signature.
        """
        kwargs["inputs_embeds"] = inputs_embeds
        prepare = self.head.own_preparation  # type: ignore[attr-defined]
        if prepare is None:
            prepare = super().prepare_inputs_for_generation  # type: ignore[misc]
        inputs: dict[str, Any] = prepare(*args, **kwargs)
        if inputs.get("past_key_values") is not None:
            return inputs
        if kwargs.get("past_key_values") is not None:
            # All tokens; transformers 5.18 continues with the last one only.
            anew = {"past_key_values": None, "next_sequence_length": None}
            inputs = prepare(*args, **{**kwargs, **anew})
        if kwargs.get("mm_encoder_outputs"):
            inputs["mm_encoder_outputs"] = kwargs["mm_encoder_outputs"]
        return inputs

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


def _refuse_padding(model: Any, attention_mask: Tensor | None) -> None:
    """Raise a ConfigError if a prompt has padding that the language model would read."""
    if model.config.reads_padding and attention_mask is not None and not attention_mask.all():
        raise ConfigError(
            "generate",
            [
                f"{type(model.get_decoder()).__name__} reads padding as text; give prompts of "
                "different lengths one at a time (batch_size=1)"
            ],
        )


def repeat_per_sample(items: Sequence[Tensor], slots: Sequence[int], times: int) -> list[Tensor]:
    """Return items with the group of each sample repeated: [A, B | C] twice is [A, B, A, B | C, C].

    Args:
        items: the features of each item, in the order of the samples.
        slots: the number of slots of each sample, which determines its last item.
        times: the number of repetitions of each sample.
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
