"""`segment`: recordings of any length, cut into clips for a recogniser (paper §2)."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import RATE, Medium, Rejected, Row, RowContext, RowGenerator
from mmmodal_datagen.steps.segment.clips import Clip, cut_at_silences, cut_windows
from mmmodal_datagen.steps.segment.recording import Recording, recording_limits
from mmmodal_datagen.steps.segment.silences import Rule, frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Segment", "SegmentOptions"]

FULL = 32_768  # of 16-bit samples
DIGITS = 7  # of seconds: enough to identify a sample at 16 kHz


class SegmentOptions(Config):
    """Where recordings are cut, and how clips are written."""

    cut: Literal["silences", "windows"] = "silences"
    """silences: in silences if possible, without pauses. windows: every `longest_s` seconds."""

    longest_s: float = Field(30.0, ge=1, le=600)
    """The maximum length of a clip in seconds; Whisper takes 30."""

    silence_s: float = Field(0.3, gt=0)
    """The length of the shortest silence that may be cut."""

    pause_s: float = Field(3.0, gt=0)
    """A silence of this length always ends a clip, and is removed."""

    padding_s: float = Field(0.2, ge=0)
    """The silence that a clip keeps before and after its sound."""

    silence_db: float = Field(35.0, gt=0)
    """How far the level of silence is below that of the loud parts around it; anything below -60 dB
    of full scale is silence."""

    hours: float = Field(24.0, gt=0)
    """Longer recordings are refused; the header of a small file can claim years."""

    format: Literal["flac", "wav"] = "flac"
    """The format of clips: 16 bits, 16 kHz, one channel."""

    @model_validator(mode="after")
    def _lengths_make_sense(self) -> SegmentOptions:
        if not self.padding_s <= self.silence_s <= self.pause_s:
            raise ValueError("`padding_s` must be at most `silence_s`, and that at most `pause_s`")
        if self.cut == "silences" and self.silence_s >= self.longest_s:
            raise ValueError("`silence_s` must be less than `longest_s`")
        return self


class Segment(RowGenerator):
    """Cut the recording of a row into clips; each is a row with its own file.

    A recording that cannot be read to the end fails as a whole, with the position of the error.
    """

    name: ClassVar[str] = "segment"
    Options: ClassVar[type[Config]] = SegmentOptions
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"cut": "windows", "longest_s": 30.0},
    }
    options: SegmentOptions

    async def make(self, row: Row, context: RowContext) -> Sequence[Row]:
        """Return the clips of a recording, in order."""
        medium = _recorded(row)
        limits = recording_limits(self.options.hours)
        recording = Recording(context.open(medium, limits), limits)
        written = self._written(recording)
        # Decoding takes long and holds no lock, so other rows continue. Files are written on the
        # event loop, as two threads could write the same one.
        kept = []
        while (one := await asyncio.to_thread(next, written, None)) is not None:
            stretch, data = one
            kept.append((stretch, *context.keep(data, f".{self.options.format}")))
        if not kept:
            raise Rejected("silent", f"{recording.seconds:,.1f} s without a sound")
        return [_clip_row(row, medium, recording.seconds, *each) for each in kept]

    def _written(self, recording: Recording) -> Iterator[tuple[_Stretch, bytes]]:
        for clip in self._cut(recording.pieces()):
            yield _encoded(clip, self.options.format)

    def _cut(self, pieces: Iterator[NDArray[np.float32]]) -> Iterator[Clip]:
        options = self.options
        if options.cut == "windows":
            return cut_windows(pieces, options.longest_s)
        lengths = (frames(s) for s in (options.silence_s, options.pause_s, options.padding_s))
        return cut_at_silences(pieces, options.longest_s, Rule(options.silence_db, *lengths))


class _Stretch(NamedTuple):
    """The position and measurements of a written clip."""

    start_s: float
    seconds: float
    in_sound: bool | None
    clipped: int
    """The number of samples beyond full scale, which are clipped to 16 bits."""


def _recorded(row: Row) -> Medium:
    """Return the one recording of a row."""
    if [medium.kind for medium in row.media] != ["audio"]:
        kinds = ", ".join(medium.kind for medium in row.media) or "nothing"
        raise Rejected("not one recording", f"the row holds {kinds}")
    if row.turns:
        raise Rejected("not one recording", "the row has turns, which say nothing of its clips")
    return row.media[0]


def _encoded(clip: Clip, form: str) -> tuple[_Stretch, bytes]:
    """Return a clip as a file of 16-bit samples; equal samples give equal bytes."""
    import soundfile

    scaled = np.rint(clip.samples * FULL)
    whole = np.clip(scaled, -FULL, FULL - 1).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, whole, RATE, format=form.upper(), subtype="PCM_16")
    # Full scale itself, 1.0, is one step beyond 16 bits, and not counted.
    clipped = int((np.abs(scaled) > FULL).sum())
    stretch = _Stretch(clip.start / RATE, len(whole) / RATE, clip.in_sound, clipped)
    return stretch, file.getvalue()


def _clip_row(
    row: Row, medium: Medium, recording_s: float, clip: _Stretch, uri: str, sha256: str
) -> Row:
    start_s = (medium.start_s or 0.0) + clip.start_s
    where = {"start_s": round(start_s, DIGITS), "end_s": round(start_s + clip.seconds, DIGITS)}
    cut = medium.model_copy(update={"uri": uri, "sha256": sha256, **where})
    metrics = {
        "seconds": clip.seconds,
        "recording_seconds": recording_s,
        "clipped_samples": float(clip.clipped),
    }
    if clip.in_sound is not None:
        metrics["ends_in_sound"] = float(clip.in_sound)
    return row.child(kind="clip", media=(cut,), metrics=metrics)
