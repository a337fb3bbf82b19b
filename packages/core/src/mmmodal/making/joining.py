"""Join two models with the same language model and different modalities.

The paper joins its two models of stage 1 in this way. Both were composed separately, so both gave
the first new ids to their markers: the markers of the second model get new ids, with their rows.
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
"""The keys that may differ between configurations of the same language model; rows and dtypes are
compared separately."""

SHOWN = 3  # differences in an error


def join(
    first: str | Path, second: str | Path, out: str | Path | None = None
) -> MMModalForConditionalGeneration:
    """Return the first model with the modalities of the second; if `out` is given, write it there.

    Both are held in memory. Their language models, tokenizers and chat templates must be equal.

    Args:
        first: a model folder.
        second: a model folder with other modalities.
        out: a folder that does not exist yet.

    Raises:
        CheckpointError: both have the same modality, or their language models differ.
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
    """Yield the reasons why two models cannot be joined, the simplest first."""
    names, others = model.config.modality_names, other.config.modality_names
    for name in names:
        if name in others:
            yield f"both have the modality {name!r}"
    if not others:
        yield "the second has no modality"
    settings = list(_other_settings(model, other))
    yield from settings
    if settings:
        return  # different weights follow from different settings
    yield from _other_words(model, other)
    yield from _other_weights(model, other)


def _other_settings(model: Any, other: Any) -> Iterator[str]:
    mine, theirs = (m.config.text_config.to_dict() for m in (model, other))
    for key in sorted({*mine, *theirs} - set(NOTES)):
        if mine.get(key) != theirs.get(key):
            yield f"the language models differ in {key} ({mine.get(key)} and {theirs.get(key)})"
    if model.dtype != other.dtype:
        yield f"the first has dtype {model.dtype}, the second {other.dtype}"


def _other_words(model: Any, other: Any) -> Iterator[str]:
    """Yield the differences of the tokenizers, except in markers: a marker of one model may be an
    ordinary token of the other."""
    vocabularies = [each.processor.tokenizer.get_vocab() for each in (model, other)]
    markers = {word for each in (model, other) for word in _marker_words(each)}
    mine, theirs = (
        {(word, id_) for word, id_ in words.items() if word not in markers}
        for words in vocabularies
    )
    if unlike := {word for word, _ in mine ^ theirs}:
        yield f"the tokenizers differ in {len(unlike)} tokens, such as {min(unlike)!r}"
    if model.processor.chat_template != other.processor.chat_template:
        yield "the chat templates differ"


def _other_weights(model: Any, other: Any) -> Iterator[str]:
    """Yield the first difference of the weights, except in the rows of tokens that were added."""
    rows = _shared_rows(model, other)
    theirs = dict(_language_weights(other))
    for name, mine in _language_weights(model):
        one, two = mine, theirs[name]
        if _is_table(model, mine):
            one, two = mine[rows], two[rows]
        if not torch.equal(one, two):
            yield f"the language models differ in the weights of {name}"


def _shared_rows(model: Any, other: Any) -> Tensor:
    """Return the ids of the tokens that both had before markers were added."""
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
    """Copy the rows of the second model's markers to their new ids."""
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
        untrained=name in model.config.untrained_towers(),
    )
