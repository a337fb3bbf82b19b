"""Read damaged files one by one, in a process of its own; one line of JSON for each.

    python trial.py KIND FOLDER FIRST LAST

A trial passes if the file is refused by a MediaError, or becomes a valid item of the shape that its
header tells; in time, in memory, and without a word on stderr.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from mutation import mutate
from PIL import Image as pillow

from mmmodal.errors import MediaError
from mmmodal.media import read_media
from mmmodal.modalities.audio import Audio, AudioLimits, Waveform
from mmmodal.modalities.image import Image, ImageLimits

MOST_SECONDS = 2.0  # of the processor
MOST_MEMORY = 64 * 1024  # KiB
MOST_ADDRESSES = 4 * 2**30  # bytes; beyond it, allocations fail
MEMORY = 32 * 2**20
LIMITS = {
    "image": ImageLimits(pixels=1_000_000, decoded_bytes=MEMORY),
    "audio": AudioLimits(seconds=10, decoded_bytes=MEMORY),
}
ESTIMATED = ("MPEG_LAYER_III", "GSM610")  # by libsndfile
MODALITIES = {"image": Image(), "audio": Audio()}


def main(kind: str, folder: str, first: str, last: str) -> None:
    """Run the trials from `first` up to `last`."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    names = sorted(path.name for path in Path(folder).iterdir())
    files = [(Path(folder) / name).read_bytes() for name in names]
    originals = [np.asarray(_contents(_read(kind, data))) for data in files]
    noise = tempfile.TemporaryFile()  # noqa: SIM115 - it takes the place of stderr for good
    os.dup2(noise.fileno(), 2)
    for number in range(int(first), int(last)):
        which, data, steps = mutate(files, number)
        row = _try(kind, data, originals[which])
        spoken = os.fstat(2).st_size
        if spoken:
            noise.seek(0)
            row["failure"] = f"stderr: {noise.read(200)!r}"
            noise.seek(0)
            noise.truncate()
        print(json.dumps({"number": number, "form": names[which], "steps": steps, **row}))
        sys.stdout.flush()


def _try(kind: str, data: bytes, original: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {}
    before, start = _reset_memory(), time.process_time()
    try:
        item = _read(kind, data)
        row["failure"] = _wrong(kind, item, data)
        found = _contents(item)
        row["outcome"] = _compared(found, original)
    except MediaError as error:
        row["outcome"], row["failure"] = f"refused: {error.code}", _unclear(error)
        if _memory("VmHWM") - before > MOST_MEMORY:
            row["failure"] = f"took {(_memory('VmHWM') - before) // 1024} MiB"
    except BaseException as error:
        row["outcome"], row["failure"] = "failed", f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    if seconds > MOST_SECONDS:
        row["failure"] = f"took {seconds:.1f} s"
    return row


def _read(kind: str, data: bytes) -> Any:
    return read_media(MODALITIES[kind], data, root=None, limits=LIMITS[kind])


def _contents(item: Any) -> np.ndarray:
    return item.samples if isinstance(item, Waveform) else np.asarray(item)


def _compared(found: np.ndarray, original: np.ndarray) -> str:
    if found.shape != original.shape:
        return "accepted: another shape"
    return "accepted: the same" if np.array_equal(found, original) else "accepted: other values"


def _wrong(kind: str, item: Any, data: bytes) -> str:
    """Say what is wrong with an item that was accepted; empty if nothing is."""
    if kind == "image":
        with warnings.catch_warnings(action="ignore"), pillow.open(io.BytesIO(data)) as header:
            sizes = {header.size, header.size[::-1]}
        if item.mode != "RGB" or item.info or item.size not in sizes:
            return f"{item.mode} {item.size}, and the header tells {sizes}"
        return "" if np.asarray(item).shape == (*item.size[::-1], 3) else "pixels of another shape"
    samples, rate = item.samples, item.rate
    if samples.dtype != np.float32 or samples.ndim != 1 or not np.isfinite(samples).all():
        return f"samples of {samples.dtype} {samples.shape}, or not finite"
    if not 0 < len(samples) <= LIMITS["audio"].seconds * rate or not 4_000 <= rate <= 384_000:
        return f"{len(samples)} samples at {rate} Hz"
    if data[:4] in (b"RIFF", b"RF64", b"fLaC"):
        told = _told(data)
        if told not in (len(samples), None):
            return f"{len(samples)} samples, and the header tells {told}"
    return ""


def _told(data: bytes) -> int | None:
    """Return the number of samples by the header; None if it is not known, or an estimate."""
    if b"\x55\0" in data[16:30]:  # libsndfile prints what it thinks of MP3
        return None
    try:
        sound = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError:  # of a codec that only libav reads
        return None
    if sound.subtype in ESTIMATED or sound.frames in (0, 2**63 - 1):
        return None
    return int(sound.frames)


def _unclear(error: MediaError) -> str:
    text = str(error)
    clear = text.isprintable() and len(text) < 500 and "0x" not in text
    return "" if clear and not error.__cause__ else f"an unclear error: {text!r}"


def _reset_memory() -> int:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    return _memory("VmRSS")


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", status)[1])  # type: ignore[index] # KiB


if __name__ == "__main__":
    main(*sys.argv[1:])
