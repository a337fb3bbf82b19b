"""transformers' own tests of models, from its source distribution, as mixins for our classes.

`make test-transformers` unpacks them. The distribution holds no generation and no export tests, of
which the model tests only name the mixins; empty ones stand in for these.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

from worlds import ROOT

__all__ = ["FOLDER", "mixin"]

FOLDER = ROOT / "build/transformers-tests/tests"
"""The unpacked tests of the installed version."""

PACKAGE = "transformers_tests"

MISSING = {
    "exporters.test_export": "ExportTesterMixin",
    "generation.test_utils": "GenerationTesterMixin",
}
"""The modules that the distribution lacks, and the class of each that is imported."""


def mixin(module: str, name: str) -> Any:
    """Return a class of transformers' tests, such as `ModelTesterMixin` of `test_modeling_common`."""
    if PACKAGE not in sys.modules:
        _package(PACKAGE, [str(FOLDER)])
        for missing, stand_in in MISSING.items():
            _package(f"{PACKAGE}.{missing.partition('.')[0]}", [])
            setattr(_package(f"{PACKAGE}.{missing}", []), stand_in, type(stand_in, (), {}))
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


def _package(name: str, path: list[str]) -> ModuleType:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = path
    sys.modules[name] = module_from_spec(spec)
    return sys.modules[name]
