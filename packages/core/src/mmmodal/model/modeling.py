"""The network: a tower and a projector per modality, spliced into one language model.

B batch, T tokens, N items of a modality, M their feature vectors, D the language model's width.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
)
from transformers.utils.generic import can_return_tuple

from mmmodal.contracts.building import build_projection, build_tower
from mmmodal.errors import SpliceError
from mmmodal.model.configuration import MMModalConfig
from mmmodal.model.generation import MediaGenerationMixin
from mmmodal.model.head import Head, new_lm_head
from mmmodal.model.interface import MMModalPreTrainedModel
from mmmodal.model.markers import MarkerEmbedding
from mmmodal.model.perception import MediaFeatures, Perception, as_features, names_media
from mmmodal.model.processing import MMModalProcessor
from mmmodal.model.splice import check, splice
from mmmodal.model.varlen import PACK, place_bounds

__all__ = ["MMModalForConditionalGeneration", "MMModalModel"]


class MMModalModel(Perception, MMModalPreTrainedModel):
    """Towers, projectors and the decoder of the language model, without its head."""

    def __init__(self, config: MMModalConfig) -> None:
        super().__init__(config)
        self.encoders, self.projectors = {}, {}
        language_model = AutoModel.from_config(config.text_config)
        self.width = width = language_model.get_input_embeddings().embedding_dim
        for name in config.modality_names:
            encoder, projector = config.encoder_of(name), config.projector_of(name)
            self.encoders[name], self.projectors[name] = encoder, projector
            self.add_module(f"{name}_tower", build_tower(encoder))
            self.add_module(f"{name}_projector", build_projection(projector, encoder.width, width))
        self.language_model = language_model
        self.marker_embedding: MarkerEmbedding | None = None
        self.post_init()

    def train(self, mode: bool = True) -> MMModalModel:
        """Switch to training mode; a frozen tower stays in evaluation mode (no dropout)."""
        super().train(mode)
        for name in self.config.modality_names:
            tower = self.tower(name)
            tower.train(mode and any(p.requires_grad for p in tower.parameters()))
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Return the language model's token embeddings."""
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embeddings."""
        self.language_model.set_input_embeddings(value)

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """Return the tower of any modality; transformers supports only image and audio."""
        if modality in self.config.modality_names:
            return self.tower(str(modality))
        encoder: nn.Module = super().get_encoder(modality)
        return encoder

    def __getattr__(self, name: str) -> Any:
        """Return `get_<modality>_features` for every modality."""
        if name.startswith("get_") and name.endswith("_features"):
            modality = name.removeprefix("get_").removesuffix("_features")
            if modality in self.config.modality_names:
                return functools.partial(self.get_features, modality)
        return super().__getattr__(name)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Return the embeddings [B, T, D] of token ids [B, T], with those of trained markers."""
        embeddings: Tensor = self.get_input_embeddings()(input_ids)
        if self.marker_embedding is not None:
            embeddings = self.marker_embedding(input_ids, embeddings)
        return embeddings

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        mm_encoder_outputs: Mapping[str, MediaFeatures] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the language model on text and media.

        Media are the processor's tensors, which are encoded here, or `mm_encoder_outputs`. With
        `inputs_embeds`, `input_ids` only say where the slots are; without ids, the rows of the
        slots' embeddings do.
        """
        if input_ids is None and inputs_embeds is None:
            raise ValueError("give input_ids or inputs_embeds")
        if position_ids is not None and attention_mask is None and past_key_values is None:
            # These may be packed samples, which transformers separates only without a cache.
            kwargs.setdefault("use_cache", False)
        if any(name in kwargs for name in PACK):
            attention_mask = place_bounds(self.language_model, attention_mask, kwargs)
        media = self.encode_media(kwargs, mm_encoder_outputs)
        if inputs_embeds is None:
            assert input_ids is not None
            self._refuse_empty_slots(input_ids, media)
            inputs_embeds = self.embed(input_ids)
        if media:
            try:
                inputs_embeds = self.fill(inputs_embeds, media, input_ids)
            except SpliceError as error:
                raise self.blame(error, media.keys() - (mm_encoder_outputs or {})) from None
        outputs: BaseModelOutputWithPast = self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        return outputs

    def fill(
        self,
        embeddings: Tensor,
        media: Mapping[str, MediaFeatures],
        input_ids: Tensor | None = None,
    ) -> Tensor:
        """Return embeddings [B, T, D] with the features of `media` in their slots.

        Raises:
            SpliceError: the numbers of slots and features differ.
        """
        features = {name: as_features(output) for name, output in media.items()}
        if input_ids is not None and input_ids.shape == embeddings.shape[:2]:
            slots = {name: input_ids == self.config.of(name, "token_id") for name in media}
        else:
            slots = {name: self._slots_in(embeddings, name) for name in media}
        return splice(embeddings, slots, features)

    def _slots_in(self, embeddings: Tensor, modality: str) -> Tensor:
        """Return where embeddings [B, T, D] are those of a modality's slot, [B, T]."""
        slot = torch.tensor([[self.config.of(modality, "token_id")]], device=embeddings.device)
        row = self.get_input_embeddings()(slot)[0, 0].to(embeddings.dtype)  # [D]
        found: Tensor = (embeddings == row).all(-1)
        return found

    def _refuse_empty_slots(self, input_ids: Tensor, media: Mapping[str, Any]) -> None:
        if input_ids.shape[1] == 1:
            return  # a step of generation, in which no new slots occur
        for name in self.config.modality_names:
            slots = input_ids == self.config.of(name, "token_id")
            if name in media:
                continue
            if torch.compiler.is_compiling():  # one graph cannot read numbers
                torch._assert_async(~slots.any(), f"{name} slots without features")
            else:
                check(name, slots, [])


class MMModalForConditionalGeneration(MediaGenerationMixin, MMModalPreTrainedModel):
    """The composed model with the language model's own head."""

    _tp_plan = {"lm_head": "colwise_gather_output"}  # noqa: RUF012
    _pp_plan = {"lm_head": (["hidden_states"], ["logits"])}  # type: ignore[dict-item] # noqa: RUF012

    processor: MMModalProcessor
    """Set by `mmmodal.load` and `mmmodal.compose`; transformers loads processors separately."""

    def __init__(self, config: MMModalConfig) -> None:
        super().__init__(config)
        head = Head(config.text_config)
        # Not a submodule: its only weights are those of lm_head, which is registered below.
        self.__dict__["head"] = head
        self.model: MMModalModel = MMModalModel(config)
        self.lm_head: nn.Module = new_lm_head(head)
        self.loss_type = "ForCausalLM"
        self._is_stateful = bool(getattr(self.model.language_model, "_is_stateful", False))
        self._tied_weights_keys = {"lm_head.weight": f"model.{self._embedding_name()}.weight"}
        self.post_init()

    def _embedding_name(self) -> str:
        wanted = self.model.get_input_embeddings()
        names = [name for name, module in self.model.named_modules() if module is wanted]
        return str(names[0])

    def get_input_embeddings(self) -> nn.Module:
        """Return the language model's token embeddings."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embeddings."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the head's linear layer."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head's linear layer."""
        self.lm_head = new_embeddings

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """Return the tower of a modality."""
        return self.model.get_encoder(modality)

    def get_decoder(self) -> nn.Module:
        """Return the language model without its head."""
        decoder: nn.Module = self.model.language_model
        return decoder

    def __getattr__(self, name: str) -> Any:
        """Return `get_<modality>_features` of the base model."""
        if name.startswith("get_") and name.endswith("_features"):
            return getattr(self.model, name)
        return super().__getattr__(name)

    @names_media
    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_encoder_outputs: Mapping[str, MediaFeatures] | None = None,
        skip_logits: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits [B, T, vocabulary] and, with labels [B, T], the loss.

        With `skip_logits` there is only the loss: the logits of a large vocabulary take most of
        the memory of a training step, and the loss is computed without holding all of them.
        """
        if labels is not None:
            # The Trainer turns the cache off in the outer config only; with a cache, packed
            # samples would attend to each other (measured, transformers 5.23).
            kwargs.setdefault("use_cache", False)
        shift_labels = kwargs.pop("shift_labels", None)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            mm_encoder_outputs=mm_encoder_outputs,
            return_dict=True,
            **kwargs,
        )
        loss = None
        if labels is not None:
            items = kwargs.get("num_items_in_batch")
            loss = self.head.loss(self.lm_head, outputs[0], labels, items, shift_labels)
            if (routers := getattr(outputs, "router_logits", None)) is not None:
                loss += self.head.router_loss(self.lm_head, routers, labels, attention_mask, items)
        logits = None
        if labels is None or not skip_logits:
            logits = self.head.logits(self.lm_head, outputs[0], logits_to_keep)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=getattr(outputs, "past_key_values", None),
            hidden_states=getattr(outputs, "hidden_states", None),
            attentions=getattr(outputs, "attentions", None),
        )
