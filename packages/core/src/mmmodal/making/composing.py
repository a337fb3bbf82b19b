"""Compose a chat model from parts: check that they fit, then join their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mmmodal.config import Config, validate
from mmmodal.contracts import Backbone, Encoder, Modality, Projector
from mmmodal.contracts.addition import Addition
from mmmodal.contracts.building import example_features
from mmmodal.contracts.encoder import shape_of
from mmmodal.contracts.projector import runs_of
from mmmodal.errors import PartError
from mmmodal.faults import cause, raised
from mmmodal.parts import find

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["Part", "Plan", "addition_of", "compose", "plan", "usual_projector"]


class Part(Config):
    """A part by name, with its source and options."""

    name: str
    source: str | None = None
    """The source of its weights, a folder or Hub id; None: the default of the part."""

    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | Part) -> Part:
        """Return the part of a text `NAME` or `NAME:SOURCE`."""
        if isinstance(text, Part):
            return text
        name, _, source = text.partition(":")
        return cls(name=name, source=source or None)


@dataclass(frozen=True)
class Plan:
    """The parts to compose, known before weights are loaded."""

    backbone: Backbone | None
    source: str
    """The source of the backbone, or the folder of the model to extend."""

    additions: tuple[Addition, ...]

    def downloads(self) -> dict[str, list[tuple[str, int]] | None]:
        """Return the files (name, bytes) to download, by source; None if unknown."""
        result = {}
        if self.backbone is not None:
            result[self.source] = self.backbone.download_size(self.source)
        for addition in self.additions:
            if addition.source is not None:
                result[addition.source] = addition.encoder.download_size(addition.source)
        return result


def plan(
    *,
    backbone: str | Part | None = None,
    encoders: Mapping[str, str | Part] | None = None,
    projectors: Mapping[str, str | Part] | None = None,
    from_model: str | Path | None = None,
) -> Plan:
    """Return a plan after checking that the parts fit each other, without reading weights.

    Raises:
        PartError: a part is unknown, or does not fit its modality or another part.
    """
    encoders, projectors = encoders or {}, projectors or {}
    if (backbone is None) == (from_model is None):
        raise PartError("give either a backbone or, as `from_model`, a model to extend")
    for name in projectors:
        if name not in encoders:
            raise PartError(f"there is a projector for {name!r}, but no encoder")
    additions = tuple(
        addition_of(name, Part.parse(part), projectors.get(name)) for name, part in encoders.items()
    )
    if from_model is not None:
        if not additions:
            raise PartError("name the encoder of the modality to add: MODALITY=NAME[:SOURCE]")
        return Plan(None, str(from_model), additions)
    part = Part.parse(backbone or "")
    found = find("backbones", part.name)
    source = part.source or found.part.source
    if source is None:
        raise PartError(f"backbone {part.name!r} needs a source: {part.name}:FOLDER or a Hub id")
    options = _options(found.part.Options, part, "backbone")
    return Plan(found.part(options), source, additions)


def compose(
    out: str | Path | None = None,
    *,
    backbone: str | Part | None = None,
    encoders: Mapping[str, str | Part] | None = None,
    projectors: Mapping[str, str | Part] | None = None,
    from_model: str | Path | None = None,
    chat_template: str | None = None,
    dtype: Any = "auto",
    attn_implementation: str | None = None,
) -> MMModalForConditionalGeneration:
    """Return a composed model; if `out` is given, also write the model there.

    Args:
        out: a folder that does not exist yet.
        backbone: `NAME[:SOURCE]` of the language model.
        encoders: for each modality `NAME[:SOURCE]`, or a `Part` with options.
        projectors: for each modality a name or `Part`; by default the encoder's.
        from_model: a composed model to which the modalities of `encoders` are added.
        chat_template: a Jinja text that replaces the tokenizer's own.
        dtype: the precision of the weights, as for `mmmodal.load`; "auto" is that of the
            language model.
        attn_implementation: the attention of the returned model's language model, as for
            `mmmodal.load`; it is not saved.

    Raises:
        PartError: a part is unknown or does not fit.
    """
    from mmmodal.files import check_new
    from mmmodal.making.loading import save
    from mmmodal.model.attention import check_attention, use_attention
    from mmmodal.precision import read_dtype

    dtype = read_dtype(dtype)
    if attn_implementation is not None:
        check_attention(attn_implementation)
    if out is not None:
        check_new(out)  # before a download
    planned = plan(
        backbone=backbone, encoders=encoders, projectors=projectors, from_model=from_model
    )
    from mmmodal.making.assembly import assemble, extend

    if planned.backbone is None:
        model = extend(planned.source, planned.additions, dtype)
    else:
        model = assemble(planned.backbone, planned.source, planned.additions, dtype, chat_template)
    if attn_implementation is not None:
        use_attention(model, attn_implementation)
    if out is not None:
        save(model, out)
    return model


def addition_of(modality: str, part: Part, projector: str | Part | None = None) -> Addition:
    """Return the parts of a modality, built from their configs without reading weights.

    Raises:
        PartError: a part is unknown, or does not fit the modality or the other part.
    """
    kind: Modality = find("modalities", modality).part()
    found = find("encoders", part.name)
    if found.part.modality != modality:
        raise PartError(
            f"encoder {part.name!r} is for {found.part.modality!r}, not for {modality!r}"
        )
    source = part.source or found.part.source
    encoder: Encoder = _made(found.part, source, part.options)
    chosen = Part.parse(projector) if projector else usual_projector(part)
    found_projector = find("projectors", chosen.name)
    options = _options(found_projector.part.Options, chosen, "projector")
    built: Projector = found_projector.part(options)
    # Raise an error now, not in the first training step, if encoder and projector do not fit.
    runs_of(built, shape_of(encoder, example_features(encoder)))
    provided = {"encoder": found, "projector": found_projector}
    return Addition(kind, encoder, built, source, provided)


def _made(kind: type[Encoder], source: str | None, options: Mapping[str, Any]) -> Encoder:
    """Return an encoder of a source with options; an unexpected error inside names it."""
    try:
        return kind.from_source(source, options)
    except Exception as error:
        raise raised(kind, "from_source", error) from cause(error)


def usual_projector(encoder: Part) -> Part:
    """Return the default projector of an encoder.

    Raises:
        PartError: the encoder is unknown.
    """
    return Part.parse(find("encoders", encoder.name).part.default_projector)


def _options(schema: type[Config], part: Part, kind: str) -> Config:
    return validate(schema, part.options, f"options of {kind} {part.name!r}")
