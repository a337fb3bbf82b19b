"""MMModal: multimodal chat models out of parts. Public names load on first use; torch does not."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmmodal.answering import answer_records as answer_records
    from mmmodal.chat import Chat as Chat
    from mmmodal.config import Config as Config
    from mmmodal.contracts import Backbone as Backbone
    from mmmodal.contracts import BackboneCard as BackboneCard
    from mmmodal.contracts import Card as Card
    from mmmodal.contracts import Converter as Converter
    from mmmodal.contracts import Encoder as Encoder
    from mmmodal.contracts import Format as Format
    from mmmodal.contracts import Modality as Modality
    from mmmodal.contracts import Projector as Projector
    from mmmodal.converting import convert as convert
    from mmmodal.errors import MediaError as MediaError
    from mmmodal.errors import MMModalError as MMModalError
    from mmmodal.errors import PartError as PartError
    from mmmodal.hookspecs import hookimpl as hookimpl
    from mmmodal.making.composing import Part as Part
    from mmmodal.making.composing import compose as compose
    from mmmodal.making.loading import load as load

_PUBLIC = {
    "Backbone": "mmmodal.contracts",
    "BackboneCard": "mmmodal.contracts",
    "Card": "mmmodal.contracts",
    "Chat": "mmmodal.chat",
    "Config": "mmmodal.config",
    "Converter": "mmmodal.contracts",
    "Encoder": "mmmodal.contracts",
    "Format": "mmmodal.contracts",
    "MMModalError": "mmmodal.errors",
    "MediaError": "mmmodal.errors",
    "Modality": "mmmodal.contracts",
    "Part": "mmmodal.making.composing",
    "PartError": "mmmodal.errors",
    "Projector": "mmmodal.contracts",
    "answer_records": "mmmodal.answering",
    "compose": "mmmodal.making.composing",
    "convert": "mmmodal.converting",
    "hookimpl": "mmmodal.hookspecs",
    "load": "mmmodal.making.loading",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mmmodal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
