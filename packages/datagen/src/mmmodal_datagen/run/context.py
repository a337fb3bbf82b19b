"""The context of a step, as the contract describes it, and the one place that builds it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mmmodal.authoring.media import Limits, LimitSettings, Source, open_source
from mmmodal.authoring.parts import ConfigError
from mmmodal_datagen.contracts import Context, RowContext
from mmmodal_datagen.contracts.language_model import ChatTurn, Completion, Sampling
from mmmodal_datagen.contracts.recogniser import RATE, Confidence, Transcript
from mmmodal_datagen.files import publish_bytes
from mmmodal_datagen.fingerprints import digest
from mmmodal_datagen.pipeline import Pipeline, PlannedStep
from mmmodal_datagen.replay.models import Models
from mmmodal_datagen.rows import Call, Medium, Origin, Row
from mmmodal_datagen.splits import split_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["StepContext", "StepRowContext"]

ID_LENGTH = 32  # hexadecimal digits


@dataclass
class StepContext(Context):
    """One step of one run, in one process."""

    step: str
    version: str
    fingerprint: str
    folder: Path
    root: Path
    models: Models
    seed: int = 0
    splits: Mapping[str, float] = field(default_factory=dict)
    concurrency: int = 64
    """Rows that are worked on at once."""

    shard_rows: int = 256
    limits: LimitSettings = field(default_factory=LimitSettings)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)

    @classmethod
    def build(
        cls, pipeline: Pipeline, step: PlannedStep, models: Models, concurrency: int | None = None
    ) -> Self:
        """Return the context of a step of a pipeline.

        Args:
            pipeline: of the run.
            step: of the pipeline.
            models: that the step calls; none while it plans.
            concurrency: rows that this process works on at once; by default the pipeline's.
        """
        return cls(
            step=step.generator.name,
            version=step.generator.version,
            fingerprint=step.fingerprint,
            folder=pipeline.out,
            root=pipeline.root,
            models=models,
            seed=pipeline.seed,
            splits=pipeline.splits,
            concurrency=concurrency or pipeline.concurrency,
            shard_rows=pipeline.shard_rows,
        )

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        async with self._slots:
            yield

    def origin(self, calls: Sequence[Call] = ()) -> Origin:
        """Return the entry of this step and these calls."""
        return Origin(
            step=self.step, version=self.version, fingerprint=self.fingerprint, calls=tuple(calls)
        )

    def chance(self, *words: object) -> random.Random:
        """Return a random source seeded by the digest of seed, step and words."""
        return random.Random(digest([self.seed, self.step, *map(str, words)]))

    def split(self, groups: Sequence[str]) -> str:
        """Return the split of the groups by the shares and seed of the run."""
        return split_of(groups, self.splits, self.seed)

    def for_row(self, row: Row) -> StepRowContext:
        """Return the context of one row, without calls so far."""
        return StepRowContext(self, row)


@dataclass
class StepRowContext(RowContext):
    """One row of a step, with a record of every call that was made for it."""

    run: StepContext
    row: Row
    calls: list[Call] = field(default_factory=list)

    @property
    def confidence(self) -> Confidence:
        """The confidence that the step's recogniser requires by default."""
        return self.run.models.confidence

    async def chat(
        self, turns: Sequence[ChatTurn], sampling: Sampling, *, attempt: int = 0
    ) -> Completion:
        """Ask the step's language model for the next message."""
        return await self.run.models.chat(turns, sampling, attempt, self.calls)

    async def complete(self, prompt: str, sampling: Sampling, *, attempt: int = 0) -> Completion:
        """Ask the step's language model to continue a text."""
        return await self.run.models.complete(prompt, sampling, attempt, self.calls)

    async def transcribe(
        self, sound: np.ndarray, *, language: str | None = None, raw_score: bool = False
    ) -> Transcript:
        """Ask the step's recogniser for a transcript."""
        return await self.run.models.transcribe(sound, language, raw_score, self.calls)

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Ask the step's translator for each text."""
        return await self.run.models.translate(texts, source, target, self.calls)

    def chance(self, *words: object) -> random.Random:
        """Return a random source that also depends on the row's id."""
        return self.run.chance(self.row.id, *words)

    def open(self, medium: Medium, limits: Limits | None = None) -> Source:
        """Return the source of a medium below the run's root."""
        return open_source(medium.uri, root=self.run.root, limits=limits or self.run.limits)

    def sound(self, medium: Medium) -> np.ndarray:
        """Read a clip, and resample it to 16 kHz."""
        import soxr

        from mmmodal.authoring.media import Audio

        audio = Audio()
        wave = audio.read(self.open(medium), self.run.limits.of(audio))
        if wave.rate == RATE:
            return wave.samples
        return soxr.resample(wave.samples, wave.rate, RATE)  # type: ignore[no-any-return]

    def keep(self, data: bytes, suffix: str) -> tuple[str, str]:
        """Write a new medium below `media` of the run's folder.

        Raises:
            ConfigError: the folder is outside of the root.
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
        """Return a row with the step and the calls made so far in its origins."""
        return row.changed(origins=(*row.origins, self.run.origin(self.calls)))

    def finish(self, made: Sequence[Row]) -> list[Row]:
        """Sign the rows; an id depends on fingerprint, parents and position."""
        named = []
        for number, row in enumerate(made):
            name = digest([self.run.fingerprint, row.parents or (self.row.id,), number])
            signed = self.signed(row)
            named.append(signed if row.id else signed.changed(id=name[:ID_LENGTH]))
        return named
