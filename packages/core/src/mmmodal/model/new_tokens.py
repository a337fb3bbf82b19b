"""Add tokens to a language model: ids in its tokenizer, rows in its matrices.

V rows of the embedding matrix, of which the first belong to the tokenizer's tokens; D width.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmmodal.errors import PartError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "PAD_TO",
    "add_tokens",
    "check_vocabulary",
    "matrices",
    "row_count",
    "set_to_mean",
    "token_count",
]

PAD_TO = 64
"""Embedding matrices grow to a multiple of this, as GPUs multiply those faster."""


def token_count(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the highest id plus one; `len` differs from it if ids are skipped."""
    return max(tokenizer.get_vocab().values()) + 1


def row_count(model: PreTrainedModel) -> int:
    """Return V, the number of rows of a model's token embeddings."""
    table: Any = model.get_input_embeddings()
    return int(table.weight.shape[0])


def check_vocabulary(source: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Check that a tokenizer can be the one its language model was trained with.

    Published models have up to a thousand unused rows, and some have a few added tokens without a
    row; only larger differences are errors.

    Raises:
        PartError: there are too few rows for the vocabulary, or less than half have a token.
    """
    own, tokens = tokenizer.vocab_size, token_count(tokenizer)
    if own > rows or 2 * tokens < rows:
        raise PartError(
            f"{source}: the vocabulary does not match: the tokenizer has {tokens} tokens, but the "
            f"language model {rows} rows; take both from the same model"
        )


def add_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wanted: Sequence[str]
) -> None:
    """Add a row for each of the `wanted` special tokens that a model lacks.

    A new row is the mean of the rows of the earlier tokens, in the head too. This includes rows
    that a padded vocabulary, such as Qwen's, had already. The matrices never shrink. No two of the
    `wanted` tokens get the same embedding, so that a slot is known by its embedding alone.
    """
    known, before = token_count(tokenizer), row_count(model)
    _add_to_tokenizer(tokenizer, wanted)
    after = -(-max(token_count(tokenizer), before) // PAD_TO) * PAD_TO
    if after > before:
        model.resize_token_embeddings(after, mean_resizing=False)
    ids: Any = tokenizer.convert_tokens_to_ids(list(wanted))
    fresh = {id_ for id_ in ids if id_ >= known} | set(range(before, after))
    for matrix in matrices(model):
        set_to_mean(matrix, sorted(fresh), min(known, before))
    for token, id_ in zip(wanted, ids, strict=True):
        if id_ in fresh:
            _set_apart(matrices(model)[0][id_], token)


def _add_to_tokenizer(tokenizer: PreTrainedTokenizerBase, wanted: Sequence[str]) -> None:
    from tokenizers import AddedToken

    known = tokenizer.get_added_vocab()
    new = [AddedToken(t, special=True, normalized=False) for t in wanted if t not in known]
    tokenizer.add_tokens(new, special_tokens=True)  # type: ignore[arg-type, unused-ignore]


def matrices(model: PreTrainedModel) -> list[Tensor]:
    """Return the matrices with a row for each token: the embeddings, and the head if untied."""
    table: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    untied = [head.weight] if head.weight is not table.weight else []
    return [table.weight, *untied, *([head.bias] if head.bias is not None else [])]


@torch.no_grad()
def set_to_mean(matrix: Tensor, ids: Sequence[int], known: int) -> None:
    """Set the rows `ids` of [V, D] or [V] to the mean of the first `known` rows."""
    mean = matrix[:known].mean(0, dtype=torch.float32)  # [D]
    matrix[torch.tensor(ids, dtype=torch.long, device=matrix.device)] = mean.to(matrix.dtype)


@torch.no_grad()
def _set_apart(row: Tensor, token: str) -> None:
    """Change some of the smallest values of a row [D] by a 128th; which ones, depends on the token.

    That is the least change that lasts when a row is converted to bfloat16.
    """
    places = row.abs().argsort()[: -(-len(row) // 8)]
    chance = torch.Generator().manual_seed(zlib.crc32(token.encode()))
    chosen = torch.randint(0, 2, places.shape, generator=chance)
    row[places] *= 1 + chosen.to(row) / 128
