"""What a user sets of an evaluation."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_eval.answers.respondent import History

__all__ = ["EvaluationSettings"]


class EvaluationSettings(Config):
    """How questions are asked and scored."""

    scorer: str = "exact"
    """The scorer of turns that name none."""

    options: dict[str, Any] = Field({})
    """The options of that scorer."""

    history: History = "own"
    controls: bool = True
    """Whether the questions are asked again with media and questions exchanged."""
