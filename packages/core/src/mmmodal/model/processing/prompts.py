"""Samples of prompts that are given as text, with a placeholder for each medium."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmmodal.conversation.prompts import split_prompt
from mmmodal.conversation.rendering import IGNORE
from mmmodal.errors import SpliceError
from mmmodal.model.processing.arguments import TextSettings
from mmmodal.model.processing.media import per_prompt, read_medium
from mmmodal.samples.collation import Sample
from mmmodal.samples.preparer import PreparedMedium, Preparer, grouped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["prompt_samples", "with_special_tokens"]

Pieces = Sequence[list[int] | str]
"""The ids of a prompt's texts, and the modality of each medium between them."""


def prompt_samples(
    preparer: Preparer,
    prompts: Sequence[str],
    media: Mapping[str, Any],
    settings: TextSettings,
) -> list[Sample]:
    """Return the samples of prompts, in which placeholders are media, in order.

    Args:
        preparer: the preparer of the model.
        prompts: the prompts.
        media: the media of each modality, for all prompts.
        settings: what else was asked for.

    Raises:
        SpliceError: there are more or fewer media than placeholders.
    """
    split = [
        list(split_prompt(prompt, preparer.markups, preparer.markers, preparer.tokenizer))
        for prompt in prompts
    ]
    queues: list[dict[str, Iterator[Any]]] = [{} for _ in prompts]
    for name in preparer.modalities:
        counts = [pieces.count(name) for pieces in split]
        for number, items in enumerate(_allotted(preparer, name, media.get(name), counts)):
            queues[number][name] = iter(items)
    return [
        _sample(preparer, pieces, queue, settings)
        for pieces, queue in zip(split, queues, strict=True)
    ]


def _allotted(preparer: Preparer, name: str, given: Any, counts: Sequence[int]) -> list[list[Any]]:
    """Return the media of each prompt."""
    sign = preparer.markups[name].sign
    if given is not None:
        return per_prompt(given, preparer.modalities[name], counts, sign)
    for number, count in enumerate(counts):
        if count:
            raise SpliceError(
                f"prompt {number} has {count} {sign}, but no {name} was given; pass `{name}s`"
            )
    return [[] for _ in counts]


def _sample(
    preparer: Preparer, pieces: Pieces, queues: Mapping[str, Iterator[Any]], settings: TextSettings
) -> Sample:
    ids: list[int] = []
    prepared: list[PreparedMedium] = []
    for piece in pieces:
        if not isinstance(piece, str):
            ids += piece
            continue
        item = read_medium(preparer, piece, next(queues[piece]), settings.sampling_rate)
        prepared.append(preparer.preprocess(piece, item))
        ids += preparer.markers[piece].expand(prepared[-1].layout)
    sample = Sample(ids, [IGNORE] * len(ids), grouped(prepared))
    return (
        with_special_tokens(sample, preparer.tokenizer) if settings.add_special_tokens else sample
    )


def with_special_tokens(sample: Sample, tokenizer: PreTrainedTokenizerBase) -> Sample:
    """Return a sample with the tokens that the tokenizer writes around a text."""
    bare = tokenizer.encode("a", add_special_tokens=False)
    around = tokenizer.encode("a")
    start = next(i for i in range(len(around)) if around[i : i + len(bare)] == bare)
    before, after = around[:start], around[start + len(bare) :]
    return Sample(
        [*before, *sample.input_ids, *after],
        [*[IGNORE] * len(before), *sample.labels, *[IGNORE] * len(after)],
        sample.features,
        sample.where,
    )
