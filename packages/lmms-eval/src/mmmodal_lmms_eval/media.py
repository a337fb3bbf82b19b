"""Media as tasks of lmms-eval give them, as sources of bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmmodal.authoring.media import Audio, Image, Limits, Source, find_source
from mmmodal.authoring.parts import MediaError

__all__ = ["modality_of", "source_of"]

SOUND = {"array", "sampling_rate"}
"""The keys of decoded sound, as the library `datasets` gives it."""

LOCATIONS = ("path", "url")
"""The keys of a file's place, in a mapping."""


def modality_of(kind: str, value: Any) -> str:
    """Return the modality of a part; lmms-eval calls any mapping a video, decoded sound too."""
    is_sound = isinstance(value, Mapping) and value.keys() >= SOUND
    return "audio" if kind == "video" and is_sound else kind


def source_of(modality: str, value: Any, origin: str) -> Source:
    """Return the source of a medium.

    Args:
        modality: its modality.
        value: a path, a data URI, bytes, a mapping of `bytes` or of `path`; a picture or sound also
            as core's modalities convert it: Pillow's image, `{"array": …, "sampling_rate": …}`.
        origin: its name in errors, if it has no path.

    Raises:
        MediaError: it is none of these, or a data URI is damaged.
    """
    named = _named(value)
    if isinstance(named, str | Path):
        # A task of this machine's user may name any file.
        return find_source(named, root=None, limits=Limits())
    if isinstance(named, bytes):
        return Source(origin, cell=_Bytes(named))
    if modality not in ENCODINGS:
        reason = f"{modality} given as {type(value).__name__}; give a path or bytes"
        raise MediaError("unsupported", origin, reason)
    return Source(origin, cell=_Decoded(value, ENCODINGS[modality]))


def _named(value: Any) -> Any:
    """Return what names the bytes of a medium, or the medium itself."""
    if not isinstance(value, Mapping) or value.keys() >= SOUND:
        return value
    if isinstance(value.get("bytes"), bytes):
        return value["bytes"]
    return next((value[key] for key in LOCATIONS if isinstance(value.get(key), str)), value)


@dataclass(frozen=True)
class _Bytes:
    """The bytes of a file."""

    data: bytes = field(repr=False)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.data


@dataclass(frozen=True)
class _Decoded:
    """A decoded medium, which is written as a file when it is read."""

    value: Any
    encode: Callable[[Any], bytes]

    def read(self) -> bytes:
        """Return the bytes of a file from which the same medium is read.

        Raises:
            MediaError: it is no such medium.
        """
        return self.encode(self.value)


def _as_png(value: Any) -> bytes:
    file = io.BytesIO()
    Image().convert(value).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _as_wav(value: Any) -> bytes:
    import soundfile

    clip, file = Audio().convert(value), io.BytesIO()
    soundfile.write(file, clip.samples, clip.rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


ENCODINGS: dict[str, Callable[[Any], bytes]] = {"image": _as_png, "audio": _as_wav}
"""How decoded media are written, without loss: 8-bit RGB and float32 samples."""
