"""Lengths are kept for other runs, are true to the data and their media, and change no order."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmmodal
from beeps import make_records
from mmmodal.errors import RecordError
from mmmodal.limits import read_limits
from mmmodal.records.dataset import RecordDataset
from mmmodal.samples import kept_lengths
from mmmodal.samples.batches import BatchPlan
from mmmodal.samples.dataset import Measurement, PreparedDataset
from mmmodal.samples.kept_lengths import KeptLengths, LengthCache
from mmmodal.samples.lengths import FILE, measure_lengths
from mmmodal.samples.preparer import Preparer

TOKENS = 512


@pytest.fixture(scope="module")
def preparer(start: Path) -> Preparer:
    preparer: Preparer = mmmodal.load(start, device="cpu").processor.preparer
    return preparer


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept lengths; those of few records are kept, too."""
    monkeypatch.setenv("MMMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_lengths, "FEW", 1)
    return tmp_path / "cache" / "lengths"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Records of pictures and clips beside their file; a clip has a length of its own."""
    return make_records(tmp_path / "data", 8)


class Counting(PreparedDataset):
    """A dataset that writes down what it measures, in any process."""

    def __init__(self, log: Path, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self._log = log

    def measure(self, index: int) -> Measurement:
        with self._log.open("a") as file:
            file.write(f"{index}\n")
        return super().measure(index)


Run = Callable[..., tuple[list[int], list[int]]]
"""Start a run of some data files: the lengths, and the numbers of the records it measured."""


@pytest.fixture
def run(preparer: Preparer, tmp_path: Path) -> Run:
    number = iter(range(100))

    def measured(
        *paths: Path, tokens: int = TOKENS, **settings: Any
    ) -> tuple[list[int], list[int]]:
        folder = tmp_path / f"run-{next(number)}"
        folder.mkdir()
        log = folder / "log"
        log.touch()
        options = {key: settings.pop(key) for key in ("workers", "on_error") if key in settings}
        dataset = Counting(log, [RecordDataset([*paths], **settings)], preparer, max_tokens=tokens)
        lengths = measure_lengths(dataset, folder, **options)
        assert (folder / FILE).is_file()
        return lengths.tolist(), sorted(map(int, log.read_text().split()))

    return measured


def clips(data: Path) -> dict[int, Path]:
    """Return a clip of each record that has one."""
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    return {
        number: data.parent / ref["uri"]
        for number, row in enumerate(rows)
        for ref in row["media"]
        if ref["kind"] == "audio"
    }


def lengthen(clip: Path) -> None:
    """Make a clip of WAV so long that it takes more tokens."""
    import soundfile

    samples, rate = soundfile.read(clip)
    soundfile.write(clip, np.tile(samples, 8), rate)


@pytest.mark.parametrize("workers", [0, 2])
def test_another_run_reads_the_lengths_and_measures_nothing(
    run: Run, data: Path, kept: Path, workers: int
) -> None:
    first, measured = run(data, workers=workers)
    assert measured == [*range(8)]
    assert len([*kept.iterdir()]) == 1
    assert run(data, workers=workers) == (first, [])


def test_the_plan_is_the_same_with_and_without_the_kept_lengths(
    run: Run, data: Path, kept: Path
) -> None:
    plans = [BatchPlan(np.array(run(data)[0], np.int32), 1, TOKENS, 3.0, 5) for _ in range(2)]
    shutil.rmtree(kept)
    plans.append(BatchPlan(np.array(run(data)[0], np.int32), 1, TOKENS, 3.0, 5))
    packs = [[*plan.packs()] for plan in plans]
    assert packs[0] == packs[1] == packs[2]


@pytest.mark.parametrize("change", ["lengthen", "copy", "touch", "replace a link"])
def test_records_of_a_changed_medium_are_measured_anew(
    run: Run, data: Path, kept: Path, change: str
) -> None:
    number, clip = next(iter(clips(data).items()))
    if change == "replace a link":
        clip.rename(clip.with_name("one.wav"))
        clip.symlink_to("one.wav")
    before, _ = run(data)
    if change == "lengthen":
        lengthen(clip)
    elif change == "touch":
        os.utime(clip)
    elif change == "copy":  # another file with the same size and time
        other, status = clip.with_name("other.wav"), clip.stat()
        shutil.copy2(clip, other)
        other.replace(clip)
        os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        shutil.copy(clip, clip.with_name("two.wav"))
        lengthen(clip.with_name("two.wav"))
        clip.unlink()
        clip.symlink_to("two.wav")
    after, measured = run(data)
    assert measured == [n for n, path in clips(data).items() if path == clip] or number in measured
    assert len(measured) < 8
    changed = [n for n in range(8) if before[n] != after[n]]
    assert changed == ([number] if change in ("lengthen", "replace a link") else [])
    assert run(data) == (after, [])


def test_a_medium_that_is_gone_is_an_error_as_without_kept_lengths(
    run: Run, data: Path, kept: Path
) -> None:
    before, _ = run(data)
    number, clip = next(iter(clips(data).items()))
    clip.rename(clip.with_suffix(".moved"))
    with pytest.raises(RecordError, match=rf"records\.jsonl:{number + 1}: .*no such file"):
        run(data)
    told: list[RecordError] = []
    for _ in range(2):  # it is told each time, and the others are not measured again
        lengths, measured = run(data, on_error=told.append)
        assert lengths == [0 if n == number else before[n] for n in range(8)]
        assert measured == [number]
    assert len(told) == 2


def test_only_the_shard_that_changed_is_measured_anew(run: Run, data: Path, kept: Path) -> None:
    lines = data.read_text().splitlines(keepends=True)
    one, two = data.with_name("one.jsonl"), data.with_name("two.jsonl")
    one.write_text("".join(lines[:5]))
    two.write_text("".join(lines[5:]))
    lengths, _ = run(one, two)
    assert len([*kept.iterdir()]) == 2
    assert run(two, one) == (lengths[5:] + lengths[:5], [])
    two.write_text("".join(lines[6:]))
    assert run(one, two) == (lengths[:5] + lengths[6:], [5, 6])


@pytest.mark.parametrize(
    "setting",
    [
        {"tokens": TOKENS - 1},
        {"format": "native"},
        {"root_maps": ["nowhere=elsewhere"]},
    ],
    ids=str,
)
def test_other_options_are_measured_anew(
    run: Run, data: Path, kept: Path, setting: dict[str, Any]
) -> None:
    run(data)
    assert run(data, **setting)[1] == [*range(8)]
    assert run(data, **setting)[1] == []


def test_data_in_another_folder_are_measured_anew(run: Run, data: Path, kept: Path) -> None:
    run(data)
    shutil.copytree(data.parent, data.parent.with_name("copy"))
    assert run(data.parent.with_name("copy") / data.name)[1] == [*range(8)]


def test_another_processor_measures_anew(
    run: Run, data: Path, kept: Path, preparer: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Template, thoughts, answers, limits, tokens of the vocabulary, options of encoders."""
    run(data)
    tokenizer, template = preparer.tokenizer, preparer.tokenizer.chat_template

    def renewed() -> None:
        preparer.learn("keep")  # reads the template again

    def other(name: str) -> None:
        if name == "template":
            tokenizer.chat_template = "{# another #}" + template
            renewed()
        elif name == "thoughts":
            preparer.learn("drop")
        elif name == "answers":
            preparer.learn("keep", "every")
        elif name == "limits":
            preparer.allow(read_limits({"image.pixels": "1000000"}))
        elif name == "projector":
            entry = preparer.entries["image"]
            changed = {**entry["projector"], "options": {"more": 1}}
            monkeypatch.setitem(preparer.entries, "image", {**entry, "projector": changed})

    for name in ("template", "thoughts", "answers", "limits", "projector"):
        other(name)
        assert run(data)[1] == [*range(8)], name
        tokenizer.chat_template = template
        renewed()
        preparer.allow(read_limits({}))
        monkeypatch.undo()
        monkeypatch.setenv("MMMODAL_CACHE", str(kept.parent))
        monkeypatch.setattr(kept_lengths, "FEW", 1)
        assert run(data)[1] == [], name


@pytest.mark.parametrize("left", [0, 7, 60, -1])
def test_damaged_lengths_are_measured_anew(run: Run, data: Path, kept: Path, left: int) -> None:
    lengths, _ = run(data)
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    assert run(data) == (lengths, [*range(8)])
    assert file.read_bytes() == whole


def test_lengths_that_cannot_be_kept_are_told(
    run: Run, data: Path, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.parent.write_text("a file where the folder should be")
    assert run(data)[1] == [*range(8)]
    assert "The lengths of the data are not kept" in capsys.readouterr().err


def test_few_records_leave_nothing_behind(
    run: Run, data: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_lengths, "FEW", 9)
    run(data)
    assert not kept.exists()


def test_runs_that_measure_at_once_keep_whole_lengths(
    run: Run, data: Path, kept: Path, preparer: Preparer
) -> None:
    """Several processes write the same file again and again, while others read it."""
    expected, _ = run(data)
    dataset = PreparedDataset([RecordDataset([data])], preparer, max_tokens=TOKENS)
    whole = LengthCache(dataset).read()
    context = multiprocessing.get_context("fork")
    failed = context.Value("i", 0)

    def write_and_read() -> None:
        cache = LengthCache(dataset)
        for _ in range(100):
            cache.write(whole, np.arange(8))
            failed.value += cache.read().lengths.tolist() != expected

    processes = [context.Process(target=write_and_read) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (failed.value, [process.exitcode for process in processes]) == (0, [0, 0, 0])
    assert [path.suffix for path in kept.iterdir()] == [".safetensors"]


def test_parts_of_joined_lengths_have_their_files(data: Path, preparer: Preparer) -> None:
    dataset = PreparedDataset([RecordDataset([data])], preparer, max_tokens=TOKENS)
    found = {n: dataset.measure(n) for n in range(8)}
    shares = [
        KeptLengths.measured(
            np.array([m.tokens if n % 3 == share else 0 for n, m in found.items()], np.int32),
            {n: m.files for n, m in found.items() if n % 3 == share},
        )
        for share in range(3)
    ]
    part = KeptLengths.unknown(8).joined(shares).of(range(2, 7))
    assert part.lengths.tolist() == [found[n].tokens for n in range(2, 7)]
    held: dict[int, set[str]] = {}
    for record, file in part.uses.tolist():
        held.setdefault(record, set()).add(part.paths[file])
    wanted = {n - 2: {f.path for f in found[n].files} for n in range(2, 7) if found[n].files}
    assert held == wanted
