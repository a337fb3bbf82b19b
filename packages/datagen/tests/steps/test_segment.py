"""Recordings become clips: none of the sound is lost, and none of the silence costs memory."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

import dying
from mmmodal.config import validate
from mmmodal.media.limits import Limits
from mmmodal.media.source import open_source
from mmmodal.modalities.audio import Audio, AudioLimits
from mmmodal_datagen.contracts import RATE, Row
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import StepOutcome, run_pipeline
from mmmodal_datagen.steps.segment.clips import Clip, cut_at_silences, cut_windows
from mmmodal_datagen.steps.segment.recording import Recording, recording_limits
from mmmodal_datagen.steps.segment.silences import Rule, frames
from refused_rows import refusals_in

RULE = Rule(drop=35.0, silence=frames(0.3), pause=frames(3), padding=frames(0.2))


def tone(seconds: float, loudness: float = 0.5) -> np.ndarray:
    return (loudness * np.sin(np.arange(round(seconds * RATE)) * 0.3)).astype(np.float32)


def hush(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def pieces(sound: np.ndarray, size: int = 65_536) -> Iterator[np.ndarray]:
    return (sound[at : at + size] for at in range(0, len(sound), size))


def clips_of(sound: np.ndarray, longest_s: float = 30, rule: Rule = RULE) -> list[Clip]:
    return list(cut_at_silences(pieces(sound), longest_s, rule))


def times(clips: Sequence[Clip]) -> list[tuple[float, float]]:
    return [
        (round(clip.start / RATE, 2), round((clip.start + len(clip.samples)) / RATE, 2))
        for clip in clips
    ]


def segmented(folder: Path, **options: Any) -> list[StepOutcome]:
    """Run the step on all that lies in `recordings`."""
    values = {
        "out": folder / "out",
        "root": folder,
        "steps": {
            "import": {"options": {"files": ["recordings"], "licence": "CC-BY-4.0"}},
            "segment": {"inputs": "import", **options},
        },
    }
    return run_pipeline(validate(Pipeline, values, "test"))


def rows_of(outcomes: Sequence[StepOutcome]) -> list[Row]:
    return [row for file in outcomes[-1].files for row in file.read()]


def heard(row: Row, folder: Path) -> np.ndarray:
    """Read a clip as training does."""
    source = open_source(row.media[0].uri, root=folder, limits=Limits())
    wave = Audio().read(source, AudioLimits())
    assert wave.rate == RATE
    return wave.samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recordings").mkdir()
    return tmp_path


def test_clips_end_at_silences_and_are_as_long_as_they_can_be() -> None:
    parts = [(tone(4), hush(0.4))] * 5 + [(tone(4), hush(0.9)), (tone(2), hush(0.4))]
    parts += [(tone(4), hush(0.4))] * 3
    clips = clips_of(np.concatenate(list(itertools.chain(*parts))))
    # The silence at 28.9 s is later, but a mere breath beside the one before.
    assert times(clips) == [(0, 26.2), (26.7, 42.3)]
    assert not any(clip.in_sound for clip in clips)
    assert max(len(clip.samples) for clip in clips) <= 30 * RATE


def test_a_long_pause_always_ends_a_clip_and_is_left_out() -> None:
    clips = clips_of(np.concatenate([hush(5), tone(2), hush(4), tone(1), hush(60), tone(3)]))
    assert times(clips) == [(4.8, 7.2), (10.8, 12.2), (71.8, 75.0)]


def test_short_words_far_apart_are_kept() -> None:
    clips = clips_of(np.concatenate([hush(40), tone(0.1), hush(40)]))
    assert times(clips) == [(39.8, 40.3)]


def test_sound_without_a_silence_is_cut_at_its_quietest_moment_and_that_is_said() -> None:
    sound = tone(70)
    sound[20 * RATE : 20 * RATE + RATE // 2] *= 0.2
    clips = clips_of(sound)
    assert clips[0].in_sound and not clips[-1].in_sound
    assert 20 <= len(clips[0].samples) / RATE <= 20.5
    assert sum(len(clip.samples) for clip in clips) == len(sound)


def test_hiss_is_silence_beside_speech_and_sound_alone() -> None:
    hiss = np.random.default_rng(0).normal(0, 0.002, 20 * RATE).astype(np.float32)
    assert len(clips_of(hiss)) == 1
    speech = hiss.copy()
    for second in (2, 8, 14):
        speech[second * RATE : (second + 2) * RATE] += tone(2)
    assert times(clips_of(speech)) == [(1.8, 4.2), (7.8, 10.2), (13.8, 16.2)]


def test_what_fits_into_one_clip_is_one() -> None:
    sound = np.concatenate([tone(14), hush(1), tone(15)])
    assert times(clips_of(sound)) == [(0, 30)]
    assert len(clips_of(np.concatenate([sound, tone(0.02)]))) == 2


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 9), st.floats(0.05, 9)), min_size=1, max_size=8),
    st.sampled_from([3.0, 7.5, 30.0]),
    st.integers(1, 100_000),
)
def test_no_sound_is_lost_or_twice_and_pieces_do_not_matter(
    lengths: list[tuple[float, float]], longest_s: float, size: int
) -> None:
    sound = np.concatenate([part for a, b in lengths for part in (tone(a), hush(b))])
    clips = clips_of(sound, longest_s)
    covered = np.zeros(len(sound), int)
    for clip in clips:
        stop = clip.start + len(clip.samples)
        np.testing.assert_array_equal(clip.samples, sound[clip.start : stop])
        covered[clip.start : stop] += 1
        assert len(clip.samples) <= longest_s * RATE
    assert covered.max() == 1
    assert (covered[np.abs(sound) > 0.01] == 1).all()
    same = list(cut_at_silences(pieces(sound, size + 1000), longest_s, RULE))
    assert times(same) == times(clips)


def test_the_papers_windows_are_fixed_and_the_tail_is_kept(folder: Path) -> None:
    sound = np.concatenate([tone(31), hush(31), tone(1.5)])
    soundfile.write(folder / "recordings" / "a.wav", sound, RATE, subtype="FLOAT")
    rows = rows_of(segmented(folder, preset="paper"))
    found = [(row.media[0].start_s, row.media[0].end_s) for row in rows]
    assert found == [(0, 30), (30, 60), (60, 63.5)]
    whole = np.concatenate([heard(row, folder) for row in rows])
    np.testing.assert_allclose(whole, sound, atol=1 / 65_536)


def test_a_clip_is_a_row_with_a_file_of_its_own_and_says_where_it_comes_from(folder: Path) -> None:
    sound = np.concatenate([tone(2), hush(4), tone(1)])
    soundfile.write(folder / "recordings" / "a.flac", sound, RATE)
    first, second = rows_of(segmented(folder))
    assert first.kind == "clip" and first.parents == ("recordings/a.flac",)
    assert first.groups == second.groups == ("recordings/a.flac",)
    assert first.licence == "CC-BY-4.0" and first.id != second.id
    assert second.media[0].start_s == 5.8 and second.media[0].end_s == 7.0
    assert second.metrics["seconds"] == 1.2 and second.metrics["recording_seconds"] == 7.0
    path = folder / second.media[0].uri
    assert path.is_relative_to(folder / "out" / "media") and path.suffix == ".flac"
    # What was 16 bits at this rate before is the very same.
    np.testing.assert_array_equal(heard(second, folder)[3200:], np.rint(tone(1) * 32768) / 32768)


def test_run_again_from_nothing_the_clips_are_the_same_bytes(folder: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (44_100 * 9, 2))
    soundfile.write(folder / "recordings" / "a.wav", noise, 44_100)
    soundfile.write(folder / "recordings" / "b.wav", noise, 44_100)

    def made() -> dict[str, bytes]:
        segmented(folder, options={"longest_s": 4})
        out = folder / "out"
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and "calls" not in path.parts
        }

    first = made()
    clips = [name for name in first if name.startswith("media/")]
    # The same sound is the same file, whichever recording it is from.
    assert len(clips) == 3
    for path in sorted((folder / "out").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert made() == first


def test_killed_between_clips_the_result_is_the_same(tmp_path: Path) -> None:
    sound = np.concatenate([np.concatenate([tone(1 + n / 10), hush(4)]) for n in range(6)])

    def values_of(folder: Path) -> dict[str, Any]:
        (folder / "recordings").mkdir(parents=True)
        soundfile.write(folder / "recordings" / "a.flac", sound, RATE)
        steps = {
            "import": {"options": {"files": ["recordings/a.jsonl"]}},
            "segment": {"inputs": "import"},
        }
        row = '{"audio": "a.flac", "id": "a"}\n'
        (folder / "recordings" / "a.jsonl").write_text(row, encoding="utf-8")
        return {"out": str(folder / "out"), "root": str(folder), "steps": steps}

    def made(folder: Path) -> dict[str, bytes]:
        paths = (path for path in (folder / "out").rglob("*") if path.is_file())
        kept = (path for path in paths if "calls" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in kept}

    run_pipeline(validate(Pipeline, values_of(tmp_path / "whole"), "test"))
    values = values_of(tmp_path / "killed")
    kills = 0
    while True:
        process = dying.process(dying.until_rename, values, 4 + kills)
        process.join()
        if process.exitcode == 0:
            break
        kills += 1
        left = list((tmp_path / "killed" / "out").rglob(".*.writing-*"))
        assert left, "it died while a file was being written"
    assert kills >= 2
    assert made(tmp_path / "killed") == made(tmp_path / "whole")


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (8_000, 1), (48_000, 6)])
def test_a_stream_is_resampled_as_the_whole_would_be(
    tmp_path: Path, rate: int, channels: int
) -> None:
    sound = np.random.default_rng(2).normal(0, 0.1, (rate * 7 + 123, channels)).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, rate, subtype="FLOAT")
    limits = recording_limits(1)
    recording = Recording(open_source(path, root=None, limits=limits), limits)
    found = np.concatenate(list(recording.pieces()))
    expected = soxr.resample(sound.mean(axis=1), rate, RATE)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert recording.samples == len(expected)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "mp3"), ("a.m4a", "aac"), ("a.webm", "libopus")]
)
def test_what_videos_carry_is_read_too(folder: Path, name: str, codec: str) -> None:
    with av.open(str(folder / "recordings" / name), "w") as container:
        stream = container.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        sound = soxr.resample(np.concatenate([tone(2), hush(5), tone(2)]), RATE, 48_000)
        frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        frame.pts = 0
        for each in (frame, None):
            container.mux(
                [packet for part in _fitting(stream, each) for packet in stream.encode(part)]
            )
    found = [row.media[0] for row in rows_of(segmented(folder))]
    starts = [medium.start_s for medium in found]
    assert starts == pytest.approx([0, 6.8], abs=0.15)


def _fitting(stream: Any, frame: av.AudioFrame | None) -> list[Any]:
    """Return a frame as the encoder wants it."""
    resampler = av.AudioResampler(
        format=stream.format.name, layout="mono", rate=48_000, frame_size=stream.frame_size
    )
    return [None] if frame is None else [*resampler.resample(frame), *resampler.resample(None)]


def test_what_breaks_is_said_and_the_others_go_on(folder: Path) -> None:
    sound = np.random.default_rng(3).normal(0, 0.1, 60 * RATE).astype(np.float32)
    for name in ("cut.flac", "damaged.flac", "fine.flac"):
        soundfile.write(folder / "recordings" / name, sound, RATE)
    soundfile.write(folder / "recordings" / "cut.wav", sound, RATE)
    cut, damaged = (folder / "recordings" / name for name in ("cut.flac", "damaged.flac"))
    data = cut.read_bytes()
    middle = len(data) // 2
    cut.write_bytes(data[:middle])
    damaged.write_bytes(data[:middle] + bytes(20_000) + data[middle + 20_000 :])
    wav = folder / "recordings" / "cut.wav"
    wav.write_bytes(wav.read_bytes()[:-1000])
    (folder / "recordings" / "page.mp3").write_text("<html>404</html>")
    (folder / "recordings" / "silent.wav").write_bytes(b"")
    soundfile.write(folder / "recordings" / "hush.wav", hush(40), RATE)
    outcome = segmented(folder)[-1]
    assert outcome.reasons == {
        "silent": 1,
        "unreadable medium (empty)": 1,
        "unreadable medium (format)": 1,
        "unreadable medium (unreadable)": 3,
    }
    assert {row.parents for row in rows_of([outcome])} == {("recordings/fine.flac",)}
    refused = refusals_in(outcome.folder)
    said = {refusal.row.id: refusal.detail for refusal in refused}
    for name in ("cut", "damaged"):
        assert f"{name}.flac: after 28.7 s: the sound is damaged" in said[f"recordings/{name}.flac"]
    assert "the file is cut off" in said["recordings/cut.wav"]
    assert "HTML" in said["recordings/page.mp3"]
    assert said["recordings/hush.wav"] == "40.0 s without a sound"
    # Put right, it is read by the next run.
    cut.write_bytes(data)
    parents = {row.parents for row in rows_of(segmented(folder))}
    assert ("recordings/cut.flac",) in parents


def test_a_recording_beyond_the_limit_is_refused_before_it_is_read(folder: Path) -> None:
    soundfile.write(folder / "recordings" / "a.flac", tone(40), RATE)
    outcome = segmented(folder, options={"hours": 0.01})[-1]
    assert outcome.reasons == {"unreadable medium (too-large)": 1}
    assert not (folder / "out" / "media").exists()


MEASURE = """
    import asyncio, sys
    from pathlib import Path
    from mmmodal_datagen.contracts import Medium, Row
    from mmmodal_datagen.replay.models import Models
    from mmmodal_datagen.run.context import StepContext
    from mmmodal_datagen.steps.segment import Segment

    folder = Path(sys.argv[1])
    context = StepContext("segment", "1", "f", folder, folder, Models.none())

    def peak(name):
        row = Row(id=name, kind="recording", media=(Medium(kind="audio", uri=name),), groups=(name,))
        rows = asyncio.run(Segment().make(row, context.for_row(row)))
        status = Path("/proc/self/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return len(rows), int(kib) // 1024

    print(*peak("short.flac"), *peak("long.flac"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_twenty_minutes_take_no_more_memory_than_two(tmp_path: Path) -> None:
    spoken = np.random.default_rng(4).normal(0, 0.1, 9 * 44_100)
    for name, minutes in (("short.flac", 2), ("long.flac", 20)):
        with soundfile.SoundFile(tmp_path / name, "w", 44_100, 1) as file:
            for _ in range(minutes * 6):
                file.write(np.concatenate([spoken, np.zeros(44_100)]))
    code = textwrap.dedent(MEASURE)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    few, before, many, after = map(int, done.stdout.split())
    assert (few, many) == (4, 40)
    # Decoded whole, the long one takes 200 MiB, and 73 MiB at the recognisers' rate.
    assert after - before < 24, (before, after)


def test_windows_of_an_endless_stream_come_one_by_one() -> None:
    endless = itertools.repeat(tone(1))
    first = list(itertools.islice(cut_windows(iter(endless), 30), 3))
    assert [clip.start for clip in first] == [0, 30 * RATE, 60 * RATE]
