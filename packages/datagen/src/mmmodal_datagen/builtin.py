"""The steps and backends that ship with the pipeline, found through an entry point like others'."""

from __future__ import annotations

from mmmodal.hookspecs import hookimpl
from mmmodal_datagen.contracts import Generator

__all__ = ["mmmodal_generators"]


@hookimpl
def mmmodal_generators() -> list[type[Generator]]:
    """Return the steps of the paper's pipeline."""
    from mmmodal_datagen.steps.dialogue import Dialogue

    return [Dialogue]
