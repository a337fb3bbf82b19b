"""New tokens of a language model: ids in its tokenizer, rows in its matrices.

V rows of the embedding matrix, of which the tokenizer's tokens take the first; D width.
"""

from __future__ import annotations

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
"""Embedding matrices grow to a multiple of this, which GPUs multiply faster."""


def token_count(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return one more than the highest id, which `len` is not where ids are left out."""
    return max(tokenizer.get_vocab().values()) + 1


def row_count(model: PreTrainedModel) -> int:
    """Return V, the rows of a model's token embeddings."""
    table: Any = model.get_input_embeddings()
    return int(table.weight.shape[0])


def check_vocabulary(source: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Refuse a tokenizer that cannot be the one its language model was trained with.

    Published models have up to a thousand rows to spare, and some have a few added tokens without
    a row, so only what is beyond that is told.

    Raises:
        PartError: there are too few rows for its own vocabulary, or not half of them have a token.
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
    """Give a model a row for each of the `wanted` special tokens; those it has stay as they are.

    A new row is the mean of those of the tokens before it, in the head too, also where a padded
    vocabulary had the row already, as Qwen's has. The matrices never shrink.
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


def _add_to_tokenizer(tokenizer: PreTrainedTokenizerBase, wanted: Sequence[str]) -> None:
    from tokenizers import AddedToken

    known = tokenizer.get_added_vocab()
    new = [AddedToken(t, special=True, normalized=False) for t in wanted if t not in known]
    tokenizer.add_tokens(new, special_tokens=True)  # type: ignore[arg-type, unused-ignore]


def matrices(model: PreTrainedModel) -> list[Tensor]:
    """Return what has a row for each token: the embeddings and, where it is its own, the head."""
    table: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    untied = [head.weight] if head.weight is not table.weight else []
    return [table.weight, *untied, *([head.bias] if head.bias is not None else [])]


@torch.no_grad()
def set_to_mean(matrix: Tensor, ids: Sequence[int], known: int) -> None:
    """Set the rows `ids` of [V, D] or [V] to the mean of the first `known` rows."""
    mean = matrix[:known].mean(0, dtype=torch.float32)  # [D]
    matrix[torch.tensor(ids, dtype=torch.long, device=matrix.device)] = mean.to(matrix.dtype)
