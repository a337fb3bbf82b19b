"""The contracts of steps and backends, and the row they share."""

from mmmodal_datagen.contracts.context import Context, RowContext
from mmmodal_datagen.contracts.generator import (
    Generator,
    Refusal,
    Results,
    RowGenerator,
    Shard,
    ShardFile,
)
from mmmodal_datagen.contracts.language_model import ChatTurn, Completion, LanguageModel, Sampling
from mmmodal_datagen.contracts.outcomes import BackendError, Failed, Rejected, StopRun
from mmmodal_datagen.contracts.recogniser import RATE, Confidence, Recogniser, Segment, Transcript
from mmmodal_datagen.contracts.translator import Translator
from mmmodal_datagen.rows import Call, Gate, Medium, Origin, Piece, Row, Turn

__all__ = [
    "RATE",
    "BackendError",
    "Call",
    "ChatTurn",
    "Completion",
    "Confidence",
    "Context",
    "Failed",
    "Gate",
    "Generator",
    "LanguageModel",
    "Medium",
    "Origin",
    "Piece",
    "Recogniser",
    "Refusal",
    "Rejected",
    "Results",
    "Row",
    "RowContext",
    "RowGenerator",
    "Sampling",
    "Segment",
    "Shard",
    "ShardFile",
    "StopRun",
    "Transcript",
    "Translator",
    "Turn",
]
