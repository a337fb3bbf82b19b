"""The common base of the classes of a model: what transformers reads of them, and how they load."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from mmmodal.errors import PartError
from mmmodal.model.configuration import MMModalConfig
from mmmodal.model.restoring import finish_loading

__all__ = ["MMModalPreTrainedModel"]


class MMModalPreTrainedModel(PreTrainedModel):
    """The common base of the composed model with and without its head."""

    config: MMModalConfig
    config_class = MMModalConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = False

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the initialisation of each part's constructor.

        Nested transformers models are initialised by their own rules; transformers would overwrite
        the values of all other modules.
        """

    @property
    def input_modalities(self) -> Any:  # type: ignore[override]
        """The modalities of the input, under the name that transformers reads."""
        return (*self.config.modality_names, "text")

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the model of a folder; the arguments are those of transformers.

        Raises:
            CheckpointError: weights are missing, which `output_loading_info` reports instead, or a
                part's package is not installed.
        """
        kwargs.setdefault("use_safetensors", True)  # transformers would also read pickles
        info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(*args, **{**kwargs, "output_loading_info": True})
        model, report = loaded
        finish_loading(model, report, strict=not info)
        return (model, report) if info else model

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> Any:
        """Change the number of tokens; each of the new number can be generated, padding cannot.

        Args:
            new_num_tokens: the number of tokens; None keeps it.
            pad_to_multiple_of: the rows of the embeddings become a multiple of this.
            mean_resizing: whether new rows are drawn around the mean of the others.

        Returns:
            The new token embeddings.

        Raises:
            PartError: a marker or slot would lose its row.
        """
        if new_num_tokens is not None:
            self._refuse_fewer_than_markers(new_num_tokens)
        table = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        if new_num_tokens is not None:
            self.config.token_count = new_num_tokens
        return table

    def _refuse_fewer_than_markers(self, count: int) -> None:
        needed = max(self.config.media_ids(), default=-1) + 1
        if count < needed:
            raise PartError(
                f"{count} tokens are too few: the markers and slots of the modalities have ids up "
                f"to {needed - 1}; keep at least {needed} tokens"
            )
