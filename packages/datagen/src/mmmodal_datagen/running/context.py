"""What a step sees of the run around it: models, media, chance, splits. No step looks elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.errors import ConfigError
from mmmodal.limits import LimitSettings
from mmmodal.media.source import Source, open_source
from mmmodal_datagen.contracts.language_model import ChatTurn, Completion, Sampling
from mmmodal_datagen.contracts.recogniser import RATE, Transcript
from mmmodal_datagen.contracts.row import Call, Medium, Origin, Row
from mmmodal_datagen.replay.models import Models
from mmmodal_datagen.running.fingerprints import digest
from mmmodal_datagen.running.publishing import publish_bytes
from mmmodal_datagen.running.splits import split_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Context", "RowContext"]

ID_LENGTH = 32  # hexadecimal digits


@dataclass
class Context:
    """One step of one run, in one process."""

    step: str
    version: str
    fingerprint: str
    folder: Path
    """Where the run writes; clips and the like go to `media` in it."""

    root: Path
    """Where the paths of media begin."""

    models: Models
    seed: int = 0
    splits: Mapping[str, float] = field(default_factory=dict)
    """The share of each split; empty where there is but one."""

    concurrency: int = 64
    """Rows that are worked on at the same time."""

    shard_rows: int = 256
    """Rows that a step reads into one shard, where it decides that."""

    limits: LimitSettings = field(default_factory=LimitSettings)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Wait for one of the slots that bound how many rows are worked on at once."""
        async with self._slots:
            yield

    def origin(self, calls: Sequence[Call] = ()) -> Origin:
        """Return what to write into the rows this step makes."""
        return Origin(
            step=self.step, version=self.version, fingerprint=self.fingerprint, calls=tuple(calls)
        )

    def chance(self, *words: object) -> random.Random:
        """Return a source of chance that depends on the run's seed, the step and `words` only."""
        return random.Random(digest([self.seed, self.step, *map(str, words)]))

    def split(self, row: Row) -> str:
        """Return the split that all media of a row are in; "" where there are no splits.

        Raises:
            Rejected: its media are in several.
        """
        return split_of(row.groups, self.splits, self.seed)

    def for_row(self, row: Row) -> RowContext:
        """Return what a step may use for one row."""
        return RowContext(self, row)


@dataclass
class RowContext:
    """What a step may use for one row; it keeps a record of every call."""

    run: Context
    row: Row
    calls: list[Call] = field(default_factory=list)

    async def chat(
        self, turns: Sequence[ChatTurn], sampling: Sampling, *, attempt: int = 0
    ) -> Completion:
        """Ask the step's language model for the next message; answered from the store if known.

        Args:
            turns: what was said so far.
            sampling: how the answer is drawn.
            attempt: another number asks anew, where the first answer was no good.

        Raises:
            BackendError: no answer came.
        """
        return await self.run.models.chat(turns, sampling, attempt, self.calls)

    async def complete(self, prompt: str, sampling: Sampling, *, attempt: int = 0) -> Completion:
        """Ask the step's language model to continue a text; otherwise as `chat`."""
        return await self.run.models.complete(prompt, sampling, attempt, self.calls)

    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Ask the step's recogniser what is said; answered from the store if known."""
        return await self.run.models.transcribe(sound, language, raw_score, self.calls)

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Ask the step's translator for each text; answered from the store where known."""
        return await self.run.models.translate(texts, source, target, self.calls)

    def chance(self, *words: object) -> random.Random:
        """Return a source of chance that depends on the run's seed, the step, row and `words`."""
        return self.run.chance(self.row.id, *words)

    def open(self, medium: Medium) -> Source:
        """Find the bytes of a medium.

        Raises:
            MediaError: they cannot be read; the row fails with it.
        """
        return open_source(medium.uri, root=self.run.root, limits=self.run.limits)

    def sound(self, medium: Medium) -> np.ndarray:
        """Read a clip as recognisers hear it: [samples], float32, 16 kHz.

        Raises:
            MediaError: it cannot be read; the row fails with it.
        """
        import soxr

        from mmmodal.modalities.audio import Audio

        audio = Audio()
        wave = audio.read(self.open(medium), self.run.limits.of(audio))
        if wave.rate == RATE:
            return wave.samples
        return soxr.resample(wave.samples, wave.rate, RATE)  # type: ignore[no-any-return]

    def keep(self, data: bytes, suffix: str) -> tuple[str, str]:
        """Write a medium that this step made; return its `uri` and `sha256`.

        The file is named by its content, so the same bytes are the same file.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.run.folder / "media" / sha256[:2] / f"{sha256[2:]}{suffix}"
        if not path.is_file():
            publish_bytes(data, path)
        uri = Path(os.path.relpath(path, self.run.root))
        if os.pardir in uri.parts:
            reason = f"{self.run.folder} lies outside of the media root {self.run.root}"
            raise ConfigError("pipeline", [f"{reason}; choose a `root` that holds both"])
        return uri.as_posix(), sha256

    def signed(self, row: Row) -> Row:
        """Return a row with what this step did to it."""
        return row.changed(origins=(*row.origins, self.run.origin(self.calls)))

    def finish(self, made: Sequence[Row]) -> list[Row]:
        """Sign the rows a step returned, and name those that are new."""
        named = []
        for number, row in enumerate(made):
            name = digest([self.run.fingerprint, row.parents or (self.row.id,), number])
            signed = self.signed(row)
            named.append(signed if row.id else signed.changed(id=name[:ID_LENGTH]))
        return named
