"""What is private in transformers' Trainer is overridden in one module, and is as that expects."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import transformers
from transformers import Trainer

import mmmodal
from mmmodal.train.loop.overrides import OVERRIDDEN, OverriddenTrainer
from mmmodal.train.loop.trainer import StageTrainer

SOURCE = Path(mmmodal.__file__).parent
WHERE = "look at mmmodal/train/loop/overrides.py, the one place that overrides it"


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_the_installed_transformers_has_what_is_overridden(name: str) -> None:
    version = transformers.__version__
    assert hasattr(Trainer, name), f"transformers {version} has no Trainer.{name} any more; {WHERE}"
    known = list(inspect.signature(getattr(Trainer, name)).parameters)
    for parameter in OVERRIDDEN[name]:
        assert parameter in known, (
            f"Trainer.{name} of transformers {version} takes no {parameter!r} any more, "
            f"it takes {', '.join(known)}; {WHERE}"
        )


def test_all_private_methods_that_are_overridden_are_listed() -> None:
    private = {
        name
        for kind in StageTrainer.__mro__
        if issubclass(kind, Trainer) and kind is not Trainer
        for name in vars(kind)
        if name.startswith("_") and not name.startswith("__") and hasattr(Trainer, name)
    }
    assert private == OVERRIDDEN.keys()
    assert {name for name in vars(OverriddenTrainer) if name in OVERRIDDEN} == OVERRIDDEN.keys()


def test_no_other_module_calls_private_methods_of_the_trainer() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.name == "overrides.py":
            continue
        calls = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        assert not calls & OVERRIDDEN.keys(), path
