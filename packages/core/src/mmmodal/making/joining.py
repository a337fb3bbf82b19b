"""Join two models of one language model: each brings the modalities that the other lacks.

So the paper joins its two models of stage 1. Both were composed by themselves, and so gave the same
first new ids to different markers: those of the second model get new ids, and its rows follow them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmmodal.errors import CheckpointError
from mmmodal.files import check_new
from mmmodal.making.assembly import LoadedModality, add_modality, finish
from mmmodal.making.loading import load, save
from mmmodal.model.new_tokens import add_tokens, matrices, token_count

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["join"]

NOTES = ("_name_or_path", "transformers_version", "vocab_size", "dtype", "use_cache")
"""What may differ between the configurations of one language model; rows and types are compared
by themselves."""

SHOWN = 3  # of what differs


def join(
    first: str | Path, second: str | Path, out: str | Path | None = None
) -> MMModalForConditionalGeneration:
    """Return the first model with the modalities of the second; given `out`, write it there.

    Both are held in memory. The language model, its tokenizer and its chat template are the
    first's, which are the second's too, or it is refused.

    Args:
        first: a model folder.
        second: a model folder with other modalities.
        out: a folder that does not exist yet.

    Raises:
        CheckpointError: both take the same modality, or their language models differ; says where.
    """
    if out is not None:
        check_new(out)
    for folder in (first, second):
        _refuse_adapter(folder)
    model, other = load(first, device="cpu"), load(second, device="cpu")
    problems = list(differences(model, other))
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise CheckpointError(
            f"{first} and {second} cannot be joined: {'; '.join(problems[:SHOWN])}{more}"
        )
    old = _all_ids(other)
    tokens = _marker_words(other)
    add_tokens(model, model.processor.tokenizer, tokens)
    new = model.processor.tokenizer.convert_tokens_to_ids(tokens)
    _copy_rows(model, other, dict(zip(old, new, strict=True)))
    for name in other.config.modality_names:
        add_modality(model, _loaded(other, name))
    finish(model)
    if out is not None:
        save(model, out)
    return model


def _refuse_adapter(folder: str | Path) -> None:
    from mmmodal.adapters.folder import find_adapter

    if find_adapter(folder) is not None:
        raise CheckpointError(f"{folder} is an adapter; merge it first: `mmmodal merge`")


def differences(
    model: MMModalForConditionalGeneration, other: MMModalForConditionalGeneration
) -> Iterator[str]:
    """Yield what keeps two models from being joined, the plainest first."""
    names, others = model.config.modality_names, other.config.modality_names
    for name in names:
        if name in others:
            yield f"both take {name!r}"
    if not others:
        yield "the second takes text alone"
    settings = list(_other_settings(model, other))
    yield from settings
    if settings:
        return  # weights of other shapes or kinds say nothing more
    yield from _other_words(model, other)
    yield from _other_weights(model, other)


def _other_settings(model: Any, other: Any) -> Iterator[str]:
    mine, theirs = (m.config.text_config.to_dict() for m in (model, other))
    for key in sorted({*mine, *theirs} - set(NOTES)):
        if mine.get(key) != theirs.get(key):
            yield f"the language models have another {key} ({mine.get(key)} and {theirs.get(key)})"
    if model.dtype != other.dtype:
        yield f"one is held in {model.dtype}, the other in {other.dtype}"


def _other_words(model: Any, other: Any) -> Iterator[str]:
    """Compare the tokenizers, but for markers; one of either may be a plain word of the other."""
    vocabularies = [each.processor.tokenizer.get_vocab() for each in (model, other)]
    markers = {word for each in (model, other) for word in _marker_words(each)}
    mine, theirs = (
        {(word, id_) for word, id_ in words.items() if word not in markers}
        for words in vocabularies
    )
    if unlike := {word for word, _ in mine ^ theirs}:
        yield f"the tokenizers differ in {len(unlike)} words, such as {min(unlike)!r}"
    if model.processor.chat_template != other.processor.chat_template:
        yield "the chat templates differ"


def _other_weights(model: Any, other: Any) -> Iterator[str]:
    """Compare the language models bitwise, but for the rows of tokens that either one added."""
    rows = _shared_rows(model, other)
    theirs = dict(_language_weights(other))
    for name, mine in _language_weights(model):
        one, two = mine, theirs[name]
        if _is_table(model, mine):
            one, two = mine[rows], two[rows]
        if not torch.equal(one, two):
            yield f"the language models have other weights in {name}"


def _shared_rows(model: Any, other: Any) -> Tensor:
    """Return the ids of the tokens that both had before either got its markers."""
    added = {*_all_ids(model), *_all_ids(other)}
    count = min(token_count(each.processor.tokenizer) for each in (model, other))
    return torch.tensor([id_ for id_ in range(count) if id_ not in added])


def _language_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    yield from model.model.language_model.named_parameters()
    yield from (
        (f"lm_head.{name}", value)
        for name, value in model.lm_head.named_parameters()
        if value is not model.get_input_embeddings().weight
    )


def _is_table(model: Any, weight: Tensor) -> bool:
    return any(weight is matrix for matrix in matrices(model))


def _all_ids(model: Any) -> list[int]:
    """Return the ids of a model's markers and slots, sorted."""
    return sorted({id_ for ids in model.processor.preparer.markers.values() for id_ in ids.all})


def _marker_words(model: Any) -> list[str]:
    words: list[str] = model.processor.tokenizer.convert_ids_to_tokens(_all_ids(model))
    return words


@torch.no_grad()
def _copy_rows(model: Any, other: Any, ids: dict[int, int]) -> None:
    """Copy the rows of the second model's markers to where they stand now."""
    old, new = torch.tensor(list(ids)), torch.tensor(list(ids.values()))
    for mine, theirs in zip(matrices(model), matrices(other), strict=True):
        mine[new] = theirs[old]


def _loaded(model: MMModalForConditionalGeneration, name: str) -> LoadedModality:
    """Return a modality of a model with its networks."""
    base, preparer = model.model, model.processor.preparer
    return LoadedModality(
        kind=preparer.modalities[name],
        encoder=base.encoders[name],
        projector=base.projectors[name],
        tower=base.tower(name),
        projection=base.projector(name),
        entry=model.processor.modalities[name],
        config=model.config.of(name, "config"),
    )
