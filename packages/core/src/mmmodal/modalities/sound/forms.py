"""The supported containers of sound: how each is recognised, checked and opened."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import BinaryIO, NamedTuple

from mmmodal.errors import MediaError
from mmmodal.media.containers.adts import check_frames
from mmmodal.media.containers.au import check_header
from mmmodal.media.containers.chunks import AIFF, CAF, RIFF, find_sound
from mmmodal.media.containers.cuts import CONVERT
from mmmodal.media.containers.id3 import after_id3
from mmmodal.media.containers.matroska import check_elements
from mmmodal.media.containers.mp3 import check_length, check_size
from mmmodal.media.containers.mp4 import check_boxes
from mmmodal.media.containers.ogg import check_pages, ends_stream
from mmmodal.media.reading import looks_like
from mmmodal.modalities.sound.libav import open_libav
from mmmodal.modalities.sound.libsndfile import open_libsndfile
from mmmodal.modalities.sound.recording import AudioLimits, Sound

__all__ = ["FORMS", "Form", "open_sound"]


# PCM, ADPCM, floats, A-law and µ-law in a WAV.
BY_LIBSNDFILE = (1, 2, 3, 6, 7, 0x11)
EXTENSIBLE = 0xFFFE
IN_CAF = (b"lpcm", b"ulaw", b"alaw")
FLAC_SAMPLES = 2**36 - 1  # the bits of a number of samples, which is 0 if it is unknown
OGG_HEAD = 64  # bytes, which name the codec


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


def _open_wav(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    sized, description = find_sound(file, RIFF, origin)
    codec = int.from_bytes(description[:2], "little")
    if codec == EXTENSIBLE:
        codec = int.from_bytes(description[24:26], "little")
    if codec in BY_LIBSNDFILE:
        return open_libsndfile(sized, limits, origin)
    return open_libav(sized, limits, origin, demuxer="wav")


def _open_flac(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    """Open a FLAC file; in one of unknown length only libav notices an incomplete frame."""
    fields = int.from_bytes(file.read(26)[18:], "big")  # 20 bits of rate, 3, 5, 36 of samples
    if fields >> 44 and not fields & FLAC_SAMPLES:
        return open_libav(file, limits, origin, demuxer="flac")
    return open_libsndfile(file, limits, origin)


def _open_ogg(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    """Open an Ogg file; libsndfile refuses Opus without an end, and FLAC of other writers."""
    if ends_stream(file) and file.read(OGG_HEAD).find(b"FLAC") < 0:
        return open_libsndfile(file, limits, origin)
    return open_libav(file, limits, origin, demuxer="ogg")


def _open_aiff(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    sized, _ = find_sound(file, AIFF, origin)
    return open_libsndfile(sized, limits, origin)


def _open_caf(file: BinaryIO, limits: AudioLimits, origin: str) -> AbstractContextManager[Sound]:
    """Open a CAF file of uncompressed sound; of other sound, libav cuts off the end (PyAV 18.1)."""
    sized, description = find_sound(file, CAF, origin)
    codec = description[8:12]
    if codec not in IN_CAF:
        name = codec.decode("ascii", "replace").strip() if codec.isalnum() else "an unknown codec"
        raise MediaError("format", origin, f"its sound is {name}, which is unsupported; {CONVERT}")
    return open_libsndfile(sized, limits, origin)


# libsndfile reads these formats completely. For an MP3 without a length in its header it guesses
# the length, drops the rest, and prints to stderr, so libav reads MP3.
FORMS = (
    Form("WAV", re.compile(rb"(?:RIFF|RF64|BW64).{4}WAVE", re.DOTALL), None, _open_wav),
    Form("FLAC", re.compile(rb"fLaC"), None, _open_flac),
    Form("Ogg (Vorbis, Opus, FLAC)", re.compile(rb"OggS"), check_pages, _open_ogg),
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
    Form("AIFF", re.compile(rb"FORM.{4}AIF[FC].{8}", re.DOTALL), None, _open_aiff),
    Form("AU", re.compile(rb"\.snd.{20}", re.DOTALL), check_header, open_libsndfile),
    Form("CAF", re.compile(rb"caff\x00\x01"), None, _open_caf),
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
