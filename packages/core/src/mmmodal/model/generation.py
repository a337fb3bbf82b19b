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
from transformers import GenerationMixin, LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import UnbatchedClassifierFreeGuidanceLogitsProcessor

from mmmodal.errors import ConfigError

__all__ = ["MediaGenerationMixin", "NeverGenerated", "repeat_per_sample"]


class NeverGenerated(LogitsProcessor):
    """Exclude ids that are no text, whatever the generation settings are.

    transformers' `suppress_tokens` can be overridden, and compares the whole vocabulary with the
    list in every step (5.23). A draft model of another vocabulary gets this processor too; its
    scores stay as they are.
    """

    supports_continuous_batching = True

    def __init__(self, ids: Sequence[int], rows: int, device: torch.device) -> None:
        self._ids = torch.tensor(list(ids), dtype=torch.long, device=device)
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores [B, vocabulary] with those of the ids at minus infinity."""
        if scores.shape[-1] != self._rows:
            return scores
        return scores.index_fill(-1, self._ids.to(scores.device), -torch.inf)


class _Guided:
    """A model that reads the media of a negative prompt, for classifier-free guidance."""

    def __init__(self, model: Any, media: Mapping[str, Any]) -> None:
        self._model = model
        self._media = media

    def __call__(self, input_ids: Tensor, **kwargs: Any) -> Any:
        if kwargs.get("past_key_values") is None:
            kwargs["mm_encoder_outputs"] = {
                name: output
                for name, output in self._media.items()
                if (input_ids == self._model.config.of(name, "token_id")).any()
            }
        return self._model(input_ids, **kwargs)


class MediaGenerationMixin(GenerationMixin):
    """Encode all media once, before the first step, and repeat them by sample."""

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """Generate as transformers does; media are passed under the processor's names."""
        model: Any = self.model  # type: ignore[attr-defined]
        media = model.encode_media(kwargs, kwargs.pop("mm_encoder_outputs", None))
        embeddings = kwargs.get("inputs_embeds")
        if media and embeddings is not None:
            kwargs["inputs_embeds"] = model.fill(embeddings, media, kwargs.get("input_ids", inputs))
        elif media:
            kwargs["mm_encoder_outputs"] = media
        _refuse_padding(self, kwargs.get("attention_mask"))
        if not self.head.shares_cache:  # type: ignore[attr-defined]
            kwargs["use_cache"] = False  # each step reads the whole prompt
        return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        """Return transformers' processors, before sampling and after the caller's own: no markers.

        `generate` and `generate_batch` both get their processors here.
        """
        config = self.config  # type: ignore[attr-defined]
        rows = config.text_config.vocab_size
        never = NeverGenerated(config.never_generated(), rows, self.device)  # type: ignore[attr-defined]
        kwargs["logits_processor"] = [*(kwargs.get("logits_processor") or []), never]
        media = (kwargs.get("model_kwargs") or {}).get("mm_encoder_outputs") or {}
        processors = super()._get_logits_processor(*args, **kwargs)  # type: ignore[misc]
        for processor in processors:
            if isinstance(processor, UnbatchedClassifierFreeGuidanceLogitsProcessor):
                processor.model = _Guided(self, media)
        return processors

    def _get_candidate_generator(self, *args: Any, **kwargs: Any) -> Any:
        """Return what drafts tokens; only a composed model drafts from the media themselves."""
        assistant = kwargs.get("assistant_model")
        if assistant is not None and not isinstance(assistant, MediaGenerationMixin):
            kwargs["model_kwargs"] = {**kwargs["model_kwargs"]}
            kwargs["model_kwargs"].pop("mm_encoder_outputs", None)
        return super()._get_candidate_generator(*args, **kwargs)  # type: ignore[misc]

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
        cache = kwargs.get("past_key_values")
        if cache is not None and inputs.get("past_key_values") is None:
            # All tokens; transformers 5.18 continues with the last one only.
            anew = {"past_key_values": None, "next_sequence_length": None}
            inputs = prepare(*args, **{**kwargs, **anew})
        if kwargs.get("mm_encoder_outputs") and _reads_the_prompt(inputs):
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


def _reads_the_prompt(inputs: Mapping[str, Any]) -> bool:
    """Return whether a step begins at the first token; a draft model's is not named the first."""
    cache, ids = inputs.get("past_key_values"), inputs.get("input_ids")
    if cache is None:
        return True
    # Reading the length of some caches waits for the GPU, which later steps need not do.
    return ids is not None and ids.shape[1] > 1 and int(cache.get_seq_length()) == 0


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
