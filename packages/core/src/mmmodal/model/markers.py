"""Train only the rows of new tokens; the rest of the embedding matrix is unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmmodal.errors import PartError
from mmmodal.model.zero3 import gathered

__all__ = ["MarkerEmbedding"]


class MarkerEmbedding(nn.Module):
    """A trainable overlay over a few rows of an embedding matrix.

    Masking the gradients of the other rows is not enough: weight decay changes rows without one.
    """

    ids: Tensor

    def __init__(self, ids: Sequence[int], embeddings: nn.Module) -> None:
        """Copy the rows `ids` of a model's token embeddings.

        Raises:
            PartError: the embedding layer applies more than a constant factor to a row.
        """
        super().__init__()
        weight: Any = embeddings.weight
        places = torch.tensor(list(ids), device=weight.device)
        with gathered(weight), torch.no_grad():
            rows = weight[places].detach().clone()  # [rows, D]
            shown = embeddings(places)
        self.scale = float((shown.float() * rows.float()).sum() / rows.float().square().sum())
        if not torch.allclose(shown.float(), self.scale * rows.float(), rtol=1e-2, atol=1e-4):
            raise PartError(
                f"{type(embeddings).__name__} does more than look up rows, so that markers cannot "
                "be trained alone; train the language_model too"
            )
        self.register_buffer("ids", places, persistent=False)
        self.rows = nn.Embedding.from_pretrained(rows, freeze=False)

    def forward(self, input_ids: Tensor, embeddings: Tensor) -> Tensor:
        """Return `embeddings` [B, T, D] with the trained rows at their `input_ids` [B, T]."""
        is_row = input_ids[..., None] == self.ids  # [B, T, rows]
        rows = self.scale * self.rows(is_row.int().argmax(-1)).to(embeddings.dtype)  # [B, T, D]
        return torch.where(is_row.any(-1, keepdim=True), rows, embeddings)

    @torch.no_grad()
    def fold_into(self, table: Tensor) -> None:
        """Write the rows into the embedding matrix [vocabulary, D]."""
        table[self.ids.to(table.device)] = self.rows.weight.to(table.device, table.dtype)
