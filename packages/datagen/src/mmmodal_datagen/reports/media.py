"""Media inside a page: reduced and encoded again, without any metadata of their files."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from mmmodal.authoring.media import Audio, Image, read_media
from mmmodal.authoring.parts import MediaError
from mmmodal_datagen.contracts import RATE, Medium
from mmmodal_datagen.reports.charts import PIECES, wave

__all__ = ["Embedding"]

LARGEST = 40 * 1024 * 1024
"""The maximum number of bytes of all media of a page, which browsers still show."""

SIDE = 360  # pixels of a picture's longer side
LONGEST_S = 60.0
"""The maximum length of a clip; a longer one is cut, and the page states it."""


class Embedding:
    """The media of one page, up to its maximum size."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left = LARGEST

    def figure(self, medium: Medium, name: str) -> str:
        """Return a medium as HTML, or the reason why it cannot be read."""
        try:
            if medium.kind == "image":
                body = self._picture(medium.uri, name)
            elif medium.kind == "audio":
                body = self._sound(medium.uri, name)
            else:
                body = _missing(f"{medium.kind} cannot be shown here")
        except MediaError as error:
            body = _missing(str(error))
        said = f'<p class="heard" dir="auto">{escape(medium.description or "")}</p>'
        return (
            f'<figure class="{"audio" if medium.kind == "audio" else "image"}">{body}'
            f"<figcaption>{escape(name)}</figcaption>{said if medium.description else ''}</figure>"
        )

    def _picture(self, uri: str, name: str) -> str:
        picture = read_media(Image(), uri, root=self._root)
        picture.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        width, height = picture.size
        source = self._inside("image/jpeg", file.getvalue())
        if not source:
            return _missing("the page is full")
        return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(name)}">'

    def _sound(self, uri: str, name: str) -> str:
        import numpy as np
        import soundfile
        import soxr

        clip = read_media(Audio(), uri, root=self._root)
        samples = clip.samples[: int(LONGEST_S * clip.rate)]
        samples = samples if clip.rate == RATE else soxr.resample(samples, clip.rate, RATE)
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format="MP3")
        source = self._inside("audio/mpeg", file.getvalue())
        if not source:
            return _missing("the page is full")
        loudness = [
            float(np.abs(piece).max(initial=0.0)) for piece in np.array_split(samples, PIECES)
        ]
        cut = clip.seconds > LONGEST_S
        note = (
            f'<p class="note">the first {LONGEST_S:g} of {clip.seconds:,.0f} s</p>' if cut else ""
        )
        return (
            f'{wave(loudness)}<audio controls preload="metadata" aria-label="{escape(name)}" '
            f'src="{source}"></audio>{note}'
        )

    def _inside(self, kind: str, data: bytes) -> str:
        """Return a data URI, or "" if the page is full."""
        if len(data) > self._left:
            return ""
        self._left -= len(data)
        return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _missing(reason: str) -> str:
    return f'<p class="missing" dir="auto">{escape(reason)}</p>'
