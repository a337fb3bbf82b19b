"""The supported containers of sound: how each is recognised, checked and opened."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError
from mmmodal.media.containers.adts import check_frames
from mmmodal.media.containers.cuts import CONVERT
from mmmodal.media.containers.id3 import after_id3
from mmmodal.media.containers.matroska import check_elements
from mmmodal.media.containers.mp3 import check_length, check_size
from mmmodal.media.containers.mp4 import check_boxes
from mmmodal.media.containers.ogg import check_pages
from mmmodal.media.reading import looks_like
from mmmodal.modalities.sound.libav import open_libav
from mmmodal.modalities.sound.libsndfile import open_libsndfile
from mmmodal.modalities.sound.recording import AudioLimits, Sound

__all__ = ["FORMS", "Form", "open_sound"]


class Form(NamedTuple):
    """One container of sound, recognised by its first bytes."""

    words: str
    head: re.Pattern[bytes]

    check: Callable[[BinaryIO, str], None] | None
    """A check, before decoding, for files that are cut off or would exhaust a decoder."""

    open: Callable[[BinaryIO, AudioLimits, str], AbstractContextManager[Sound]]


def _open_mp3(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    check_size(file, limits.seconds, origin)
    return open_libav(file, limits, origin, demuxer="mp3")


# libsndfile reads these formats completely. For an MP3 without a length in its header it guesses
# the length, drops the rest, and prints to stderr, so libav reads MP3.
FORMS = (
    Form("WAV", re.compile(rb"(?:RIFF|RF64).{4}WAVE", re.DOTALL), None, open_libsndfile),
    Form("FLAC", re.compile(rb"fLaC"), None, open_libsndfile),
    Form("Ogg (Vorbis, Opus, FLAC)", re.compile(rb"OggS"), check_pages, open_libsndfile),
    Form(
        "MP4, M4A, MOV",
        # Pictures (HEIC, AVIF) begin with the same bytes.
        re.compile(rb".{4}(?:ftyp(?!hei|hev|mif|msf|avi)|moov|mdat|wide|free|skip)", re.DOTALL),
        check_boxes,
        partial(open_libav, demuxer="mov"),
    ),
    Form(
        "WebM, Matroska",
        re.compile(rb"\x1aE\xdf\xa3"),
        check_elements,
        partial(open_libav, demuxer="matroska"),
    ),
    Form(
        "AAC",
        re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"),
        check_frames,
        partial(open_libav, demuxer="aac"),
    ),
    Form(
        "MP3",
        re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"),
        check_length,
        _open_mp3,
    ),
)


def open_sound(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    """Open the recording in `file` by its content, not its name.

    Raises:
        MediaError: its format is not supported, it is cut off, or would exhaust a decoder.
    """
    file = after_id3(file)
    head = file.read(64)
    file.seek(0)
    for form in FORMS:
        if form.head.match(head):
            if form.check is not None:
                form.check(file, origin)
                file.seek(0)
            return form.open(file, limits, origin)
    *others, last = [form.words for form in FORMS]
    known = f"{', '.join(others)} or {last}"
    raise MediaError("format", origin, f"not {known}{looks_like(head)}; {CONVERT}")
