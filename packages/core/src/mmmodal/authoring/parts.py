"""Contracts of parts, options and their validation, and errors that users can fix."""

from mmmodal.config import (
    Config,
    OfSource,
    apply_overrides,
    parse_value,
    read_yaml,
    suggest,
    validate,
    without_password,
)
from mmmodal.contracts import (
    Backbone,
    BackboneCard,
    Card,
    Converter,
    Encoder,
    Evaluator,
    Modality,
    Projector,
)
from mmmodal.contracts.addition import Addition
from mmmodal.contracts.converter import ComposedCheckpoint, Conversion, ConvertedModality
from mmmodal.contracts.evaluator import Better, HeldOut
from mmmodal.contracts.markup import Markup
from mmmodal.errors import (
    CheckpointError,
    ConfigError,
    ContractError,
    MediaError,
    MMModalError,
    PartError,
    PluginError,
    RecordError,
    RenderError,
    TrainingError,
    is_debugging,
    one_line,
)
from mmmodal.making.composing import Part, addition_of

__all__ = [
    "Addition",
    "Backbone",
    "BackboneCard",
    "Better",
    "Card",
    "CheckpointError",
    "ComposedCheckpoint",
    "Config",
    "ConfigError",
    "ContractError",
    "Conversion",
    "ConvertedModality",
    "Converter",
    "Encoder",
    "Evaluator",
    "HeldOut",
    "MMModalError",
    "Markup",
    "MediaError",
    "Modality",
    "OfSource",
    "Part",
    "PartError",
    "PluginError",
    "Projector",
    "RecordError",
    "RenderError",
    "TrainingError",
    "addition_of",
    "apply_overrides",
    "is_debugging",
    "one_line",
    "parse_value",
    "read_yaml",
    "suggest",
    "validate",
    "without_password",
]
