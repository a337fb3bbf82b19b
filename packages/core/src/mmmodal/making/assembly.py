"""Join loaded parts into one model: new tokens, configuration, weights."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmmodal.contracts import Backbone, Encoder, Modality, Projector
from mmmodal.contracts.addition import Addition, Provided
from mmmodal.contracts.building import build_projection, build_tower, pretrained
from mmmodal.contracts.markup import Markup
from mmmodal.conversation.clashes import check_input_name, check_markup, check_tokens
from mmmodal.conversation.differences import differences, tell
from mmmodal.conversation.layout import has_separator, marker_ids, marker_tokens, markup_of
from mmmodal.conversation.rendering import Renderer
from mmmodal.errors import PartError
from mmmodal.faults import named
from mmmodal.making.trial import (
    check_decoder,
    check_head,
    check_rebuilt,
    naming_obstacle,
    try_backbone,
)
from mmmodal.model.configuration import MMModalConfig, MMModalEncoderConfig
from mmmodal.model.examination import examine
from mmmodal.model.head import decoder_of
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.model.new_tokens import add_tokens, check_vocabulary, row_count, token_count
from mmmodal.model.processing import MMModalProcessor
from mmmodal.projectors.scaling import ScaledOptions

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from mmmodal.samples.preparer import ModalityEntry

__all__ = ["LoadedModality", "add_modality", "assemble", "extend", "finish"]


def assemble(
    backbone: Backbone,
    source: str,
    additions: Sequence[Addition],
    dtype: Any = "auto",
    chat_template: str | None = None,
) -> MMModalForConditionalGeneration:
    """Return a model of a backbone and the parts of `additions`, with their weights."""
    backbone.config(source)  # raises an error if it is not a causal language model
    tokenizer = backbone.tokenizer(source)
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    renderer = Renderer(tokenizer, {})
    renderer.turn_end_ids()  # raises an error for a template without turn ends
    tell(differences(renderer))
    causal = backbone.load(source, dtype)
    check_vocabulary(source, tokenizer, row_count(causal))
    model = _wrap(causal)
    model.processor = MMModalProcessor(tokenizer)
    _grow(model, additions)
    check_rebuilt(model)
    return model


def extend(
    folder: str, additions: Sequence[Addition], dtype: Any = "auto"
) -> MMModalForConditionalGeneration:
    """Return a composed model with further modalities."""
    from mmmodal.making.loading import load

    model = load(folder, dtype=dtype, device="cpu")
    for addition in additions:
        if addition.modality.name in model.config.modality_names:
            raise PartError(f"{folder} has the modality {addition.modality.name!r} already")
    return _grow(model, additions)


def _wrap(causal: PreTrainedModel) -> MMModalForConditionalGeneration:
    """Return a composed model of a causal language model without modalities.

    Raises:
        PartError: the language model cannot be a backbone.
    """
    with naming_obstacle(causal):
        decoder = decoder_of(causal)
        check_decoder(causal, decoder)
        check_head(causal, decoder)
        with torch.device("meta"):
            model = MMModalForConditionalGeneration(MMModalConfig(text_config=causal.config))
        model.model.language_model = decoder
        model.set_output_embeddings(causal.get_output_embeddings())
        model.generation_config = causal.generation_config
        try_backbone(causal, model)
    return model


@dataclass(frozen=True)
class LoadedModality:
    """A modality with its networks and its entries of a model folder."""

    kind: Modality
    encoder: Encoder
    projector: Projector
    tower: nn.Module
    projection: nn.Module
    entry: ModalityEntry
    """Its entry of processor_config.json."""

    config: PreTrainedConfig
    """The config of its tower, for config.json."""

    untrained: bool = False
    """Whether the tower has the random weights of its constructor."""

    @classmethod
    def of(
        cls, addition: Addition, width: int, *, filled: bool, markup: Markup | None = None
    ) -> LoadedModality:
        """Return an addition with its networks.

        Args:
            addition: the parts.
            width: the width of the language model.
            filled: whether to read the tower's weights.
            markup: the markup of an item; by default the modality's own.

        Raises:
            PartError: the weights are missing, or do not fit the tower.
        """
        kind, encoder, projector = addition.modality, addition.encoder, addition.projector
        tower = build_tower(encoder)
        if filled and addition.source is not None:
            _fill_tower(tower, encoder, addition.source)
        entry = {**_encoder_entry(addition), "projector": _projector_entry(addition)}
        if markup is not None and markup != markup_of(kind):
            entry["markup"] = markup.entry()
        projection = build_projection(projector, encoder.width, width)
        untrained = filled and addition.source is None and any(True for _ in tower.parameters())
        config = _encoder_config(addition)
        return cls(kind, encoder, projector, tower, projection, entry, config, untrained)

    @property
    def markup(self) -> Markup:
        """The markup of an item."""
        return markup_of(self.kind, self.entry.get("markup"))

    @property
    def separated(self) -> bool:
        """Whether a token separates the tiles of an item."""
        return has_separator(self.encoder, self.projector)


def add_modality(model: MMModalForConditionalGeneration, loaded: LoadedModality) -> None:
    """Add a modality to a model whose tokenizer has its tokens already.

    Composing, extending, joining and converting all use this function.

    Raises:
        PartError: its tokens or tensors have the names of others.
    """
    base, config, name = model.model, model.config, loaded.kind.name
    preparer = model.processor.preparer
    check_markup(loaded.kind, loaded.markup, preparer.markups)
    others = [kind.input_name for kind in preparer.modalities.values()]
    check_input_name(loaded.kind, others, inspect.signature(type(model).forward).parameters)
    base.encoders[name], base.projectors[name] = loaded.encoder, loaded.projector
    base.add_module(f"{name}_tower", loaded.tower.to(model.dtype))
    base.add_module(f"{name}_projector", loaded.projection.to(model.dtype))
    tokenizer = model.processor.tokenizer
    ids = marker_ids(tokenizer, loaded.kind, loaded.separated, loaded.markup)
    values = {
        "config": loaded.config,
        "projector_config": loaded.entry["projector"],
        "token_id": ids.slot,
        "begin_token_id": ids.begin,
        "end_token_id": ids.end,
        "separator_token_id": ids.separator,
        "input_name": loaded.kind.input_name,
    }
    for key, value in values.items():
        setattr(config, f"{name}_{key}", value)
    config.modality_names = [*config.modality_names, name]
    config.mark_untrained(name, loaded.untrained)
    entries = {**model.processor.modalities, name: loaded.entry}
    model.processor = MMModalProcessor(tokenizer, entries)


def finish(model: MMModalForConditionalGeneration) -> MMModalForConditionalGeneration:
    """Record the numbers of tokens and rows, and the turn ends of generation; return the model."""
    model.config.text_config.vocab_size = row_count(model)
    model.config.token_count = token_count(model.processor.tokenizer)
    _set_generation(model)
    model.eval()
    return model


def _grow(
    model: MMModalForConditionalGeneration, additions: Sequence[Addition]
) -> MMModalForConditionalGeneration:
    additions = [_scaled_to_words(addition, model) for addition in additions]
    tokens = [
        token
        for addition in additions
        for token in marker_tokens(
            markup_of(addition.modality), has_separator(addition.encoder, addition.projector)
        )
    ]
    tokenizer, renderer = model.processor.tokenizer, model.processor.preparer.renderer
    for addition in additions:
        kind = addition.modality
        check_tokens(kind, markup_of(kind), tokenizer, renderer.turn_end_ids())
    add_tokens(model, tokenizer, tokens)
    width = model.model.width
    for addition in additions:
        loaded = LoadedModality.of(addition, width, filled=True)
        add_modality(model, loaded)
        examine(loaded.encoder, loaded.tower, loaded.projector, loaded.projection, width)
    return finish(model)


def _scaled_to_words(addition: Addition, model: MMModalForConditionalGeneration) -> Addition:
    """Return an addition with the measured size of word embeddings in place of scale "words"."""
    projector = addition.projector
    if not isinstance(projector.options, ScaledOptions) or projector.options.scale != "words":
        return addition
    embeddings: Any = model.get_input_embeddings()
    words = embeddings.weight.detach()  # [V, D]
    sizes = torch.linalg.vector_norm(words, dim=1, dtype=torch.float32) / words.shape[1] ** 0.5
    scale = float(f"{sizes.median().item():.4g}")  # rows of padding may be zero, or noise
    options = projector.options.model_copy(update={"scale": scale})
    return replace(addition, projector=type(projector)(options))


def _fill_tower(tower: nn.Module, encoder: Encoder, source: str) -> None:
    weights, own = pretrained(encoder, source), tower.state_dict()
    for name in sorted(weights.keys() & own.keys()):
        came, wanted = list(weights[name].shape), list(own[name].shape)
        if came != wanted:
            raise PartError(
                f"the weights at {source!r} do not fit {named(encoder)}: {name!r} is {came}, but "
                f"the tower's is {wanted}"
            )
    report = tower.load_state_dict(weights, strict=False)
    missing, unexpected = report.missing_keys, report.unexpected_keys
    for problem, names in (("they lack", missing), ("they also have", unexpected)):
        if names:
            raise PartError(
                f"the weights at {source!r} do not fit {named(encoder)}: "
                f"{problem} {names[0]!r} and {len(names) - 1} more"
            )


def _described(word: str, part: Encoder | Projector, provided: Provided) -> dict[str, Any]:
    """Return a checkpoint's entry of a part: its name, its package, its options."""
    return {
        word: part.name,
        "package": provided.package,
        "version": provided.version,
        "options": part.options.model_dump(mode="json"),
    }


def _encoder_entry(addition: Addition) -> dict[str, Any]:
    return _described("encoder", addition.encoder, addition.provided["encoder"])


def _projector_entry(addition: Addition) -> dict[str, Any]:
    return _described("projector", addition.projector, addition.provided["projector"])


def _encoder_config(addition: Addition) -> Any:
    config = addition.encoder.tower_config
    if config is None:
        config = MMModalEncoderConfig(**_encoder_entry(addition))
    for key, value in _encoder_entry(addition).items():
        setattr(config, key, value)
    config._name_or_path = addition.source or ""  # transformers does so for the language model
    return config


def _set_generation(model: MMModalForConditionalGeneration) -> None:
    """Set generation to stop at the template's turn end, and to pad as the tokenizer does."""
    processor: Any = model.processor
    config: Any = model.generation_config
    ends = config.eos_token_id if config.eos_token_id is not None else []
    ends = [ends] if isinstance(ends, int) else list(ends)
    ends += [processor.tokenizer.eos_token_id, *processor.preparer.renderer.turn_end_ids()]
    config.eos_token_id = sorted(set(ends))
    sampled = {"temperature": 1.0, "top_p": 1.0, "top_k": 50, "typical_p": 1.0, "min_p": None}
    if any(getattr(config, key, None) not in (None, usual) for key, usual in sampled.items()):
        config.do_sample = True  # some models omit this, and saving requires it
    config.pad_token_id = processor.tokenizer.pad_token_id
