"""The errors that users see: each names the place, the problem and what to do.

Refusals of what a caller gave are ValueErrors too, as in transformers; failures of a machine, a
network or a run are not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "ConfigError",
    "ContractError",
    "FeatureCacheError",
    "MMModalError",
    "MediaError",
    "PartError",
    "PluginError",
    "PublishingError",
    "RecordError",
    "RenderError",
    "SpliceError",
    "TemplateWarning",
    "TrainingError",
    "is_debugging",
    "one_line",
]


def is_debugging() -> bool:
    """Return whether `MMMODAL_DEBUG=1` is set, which shows the tracebacks of errors."""
    return os.environ.get("MMMODAL_DEBUG") == "1"


def one_line(error: object, most: int = 500) -> str:
    """Return the message of another library's error, on one line of at most `most` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


class MMModalError(Exception):
    """An error that a user can fix; a command prints it without traceback and exits with 1."""


class ConfigError(MMModalError, ValueError):
    """Settings that violate their schema; it lists all problems."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        between = "\n  " if len(self.problems) > 1 else " "
        super().__init__(between.join([f"{where}:", *self.problems]))


class PluginError(MMModalError):
    """A required plugin is missing, broken or in conflict with another."""


class PartError(MMModalError, ValueError):
    """An encoder, projector, backbone or modality that is unknown or does not fit the others."""


class ContractError(PartError):
    """A part that breaks its contract: which part of which package, in which method, and how."""


class MediaError(MMModalError, ValueError):
    """A medium that cannot be read: which one, why, and what to do."""

    def __init__(self, code: str, origin: str, reason: str) -> None:
        self.code = code
        self.origin = origin
        self.reason = reason
        super().__init__(f"{origin}: {reason}")


class RecordError(MMModalError, ValueError):
    """A row of data that is not a valid record; names the file and line."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)  # pickle passes these to the constructor in another process
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class RenderError(MMModalError, ValueError):
    """A conversation that the backbone's chat template cannot express."""


class TemplateWarning(UserWarning):
    """A chat template whose finished conversations differ from the prompts that lead to them."""


class SpliceError(MMModalError, ValueError):
    """Numbers of slots and media features that differ; names the sample."""


class CheckpointError(MMModalError, ValueError):
    """A model folder that cannot be loaded: what is wrong and what to do."""


class PublishingError(MMModalError):
    """A model that could not be uploaded to the Hub: why, and what to do."""


class FeatureCacheError(MMModalError):
    """Stored features that cannot be read or written: where, why, and what to do."""


class TrainingError(MMModalError):
    """A training that cannot continue: why, and where the same command resumes it."""
