"""A family of parts: the kinds whose hooks one package defines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """The kinds of parts whose hooks one package defines."""

    hookspecs: ModuleType
    contracts: str
    """The module of the base classes of parts; imported when the first part is checked."""

    kinds: Mapping[str, str]
    """The kinds of parts and the word for one part; the hook of each kind is `mmmodal_<kind>`, and
    the base class of a `language model` is `LanguageModel`."""

    def contract(self, kind: str) -> type[Any]:
        """Return the base class of the parts of a kind."""
        name = "".join(word.capitalize() for word in self.kinds[kind].split())
        contract: type[Any] = getattr(import_module(self.contracts), name)
        return contract
