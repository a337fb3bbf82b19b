"""The contracts that plugin authors implement: one small abstract class per kind of part."""

from mmmodal.contracts.backbone import Backbone, BackboneCard
from mmmodal.contracts.card import Card
from mmmodal.contracts.converter import Converter
from mmmodal.contracts.encoder import Encoder
from mmmodal.contracts.evaluator import Evaluator
from mmmodal.contracts.format import Format
from mmmodal.contracts.modality import Modality
from mmmodal.contracts.projector import Projector

__all__ = [
    "Backbone",
    "BackboneCard",
    "Card",
    "Converter",
    "Encoder",
    "Evaluator",
    "Format",
    "Modality",
    "Projector",
]
