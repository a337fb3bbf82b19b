"""Destinations of metrics besides a run's own file: TensorBoard, Weights & Biases and others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmmodal.config import suggest
from mmmodal.errors import ConfigError
from mmmodal.ranks import rank

__all__ = ["check_reporters", "reporters"]

TENSORBOARD = "tensorboard"


def check_reporters(names: Sequence[str]) -> None:
    """Check that transformers has a callback for each name.

    Raises:
        ConfigError: a name is unknown to it, or not installed.
    """
    if not names:
        return
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    installed = get_available_reporting_integrations()
    problems = []
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            hint = suggest(name, INTEGRATION_TO_CALLBACK)
            problems.append(f"'report_to': {name!r} is unknown{hint}")
        elif name not in installed:
            problems.append(f"'report_to': {name!r} is not installed. Run: pip install {name}")
    if problems:
        raise ConfigError("recipe", problems)


def reporters(names: Sequence[str], run: Path) -> list[Any]:
    """Return the Trainer's callbacks of these names; TensorBoard writes to `run/tensorboard`."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    return [_callback(INTEGRATION_TO_CALLBACK[name], name, run) for name in names]


def _callback(kind: Any, name: str, run: Path) -> Any:
    """Return a callback; by default transformers puts TensorBoard's files beside checkpoints."""
    if name != TENSORBOARD or rank() != 0:
        return kind()
    from torch.utils.tensorboard import SummaryWriter

    return kind(tb_writer=SummaryWriter(log_dir=str(run / TENSORBOARD)))
