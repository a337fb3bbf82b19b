"""What a step may use of the run around it: models, media, chance, splits, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmmodal.authoring.media import Limits, Source
from mmmodal_datagen.contracts.language_model import ChatTurn, Completion, Sampling
from mmmodal_datagen.contracts.recogniser import Confidence, Transcript
from mmmodal_datagen.rows import Call, Medium, Origin, Row

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Context", "RowContext"]


class Context(Protocol):
    """One step of one run, in one process."""

    fingerprint: str
    folder: Path
    """The folder the run writes to; new media go to `media` in it."""

    root: Path
    """The folder that paths of media are relative to."""

    seed: int
    splits: Mapping[str, float]
    """The share of each split; empty where there are no splits."""

    shard_rows: int
    """Rows that a step reads into one shard, where the step decides that."""

    def working(self) -> AbstractAsyncContextManager[None]:
        """Wait for one of the slots that limit how many rows are worked on at once."""

    def origin(self, calls: Sequence[Call] = ()) -> Origin:
        """Return the entry that this step adds to the origins of its rows."""

    def chance(self, *words: object) -> random.Random:
        """Return a random source that depends only on the run's seed, the step and `words`."""

    def split(self, groups: Sequence[str]) -> str:
        """Return the split that all of a row's groups are in; "" where there are no splits.

        Raises:
            Rejected: the groups are in several splits.
        """

    def for_row(self, row: Row) -> RowContext:
        """Return what a step may use for one row."""


class RowContext(Protocol):
    """What a step may use for one row; every call to a model is recorded."""

    @property
    def confidence(self) -> Confidence:
        """The confidence that the step's recogniser requires by default.

        Raises:
            PartError: the step has no recogniser.
        """

    async def chat(
        self, turns: Sequence[ChatTurn], sampling: Sampling, *, attempt: int = 0
    ) -> Completion:
        """Ask the step's language model for the next message; a kept answer is used again.

        Args:
            turns: the conversation so far.
            sampling: how the answer is drawn.
            attempt: a new number asks again, where the first answer could not be used.

        Raises:
            BackendError: no answer came.
        """

    async def complete(self, prompt: str, sampling: Sampling, *, attempt: int = 0) -> Completion:
        """Ask the step's language model to continue a text; otherwise like `chat`."""

    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Ask the step's recogniser for a transcript; a kept answer is used again."""

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Ask the step's translator for each text; kept answers are used again."""

    def chance(self, *words: object) -> random.Random:
        """Return a random source that depends only on seed, step, row and `words`."""

    def open(self, medium: Medium, limits: Limits | None = None) -> Source:
        """Return the source of a medium's bytes.

        Args:
            medium: of the row.
            limits: on the file; by default those of the run.

        Raises:
            MediaError: it cannot be read; the row fails with this error.
        """

    def sound(self, medium: Medium) -> np.ndarray:
        """Read a clip as recognisers take it: [samples], float32, 16 kHz.

        Raises:
            MediaError: it cannot be read; the row fails with this error.
        """

    def keep(self, data: bytes, suffix: str) -> tuple[str, str]:
        """Write a new medium, and return its `uri` and `sha256`.

        The file is named after its content, so equal bytes are one file.
        """

    def signed(self, row: Row) -> Row:
        """Return a row with this step and its calls added to the row's origins."""

    def finish(self, made: Sequence[Row]) -> list[Row]:
        """Return the rows a step returned, signed, and with ids where they are new."""
