"""Media inside a page: reduced and encoded again, without any metadata of their files."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mmmodal.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["Embedding", "wave"]

LARGEST = 40 * 1024 * 1024
"""The maximum number of bytes of all media of a page, which browsers still show."""

SIDE = 360  # pixels of a picture's longer side
LONGEST_S = 60.0
"""The maximum length of a clip; a longer one is cut, and the page states it."""

RATE = 16_000  # Hz
QUALITY = 0.8  # of MP3: 0 is the best, 1 the smallest
PIECES = 44  # of a sound wave


class Embedding:
    """The media of one page, up to its maximum size.

    Pictures and sound are shown; of other kinds of media, the name is.
    """

    def __init__(
        self, largest: int = LARGEST, side: int = SIDE, longest_s: float = LONGEST_S
    ) -> None:
        """Begin a page.

        Args:
            largest: the maximum number of bytes of all media.
            side: the maximum length of a picture's longer side, in pixels.
            longest_s: the maximum length of a clip, in seconds.
        """
        self._left = largest
        self._side = side
        self._longest_s = longest_s

    def figure(
        self, kind: str, read: Callable[[], Any], name: str, *, about: str = "", note: str = ""
    ) -> str:
        """Return a medium as HTML, or the reason why it cannot be read.

        Args:
            kind: the modality.
            read: a function that returns the item: a picture of Pillow, or samples with their rate.
            name: what the page calls it, as text.
            about: what it shows, for those who do not see or hear it.
            note: a text below it.
        """
        described = f"{name}: {about}" if about else name
        try:
            body = self._body(kind, read(), described)
        except MediaError as error:
            body = _missing(str(error))
        below = f'<p class="heard" dir="auto">{escape(note)}</p>' if note else ""
        return (
            f'<figure class="{_form(body)}">{body}'
            f'<figcaption dir="auto">{escape(name)}</figcaption>{below}</figure>'
        )

    def _body(self, kind: str, item: Any, described: str) -> str:
        from PIL.Image import Image

        if isinstance(item, Image):
            return self._picture(item, described)
        if hasattr(item, "samples") and hasattr(item, "rate"):
            return self._sound(item.samples, item.rate, described)
        return f'<p class="tag" dir="auto">{escape(kind)}</p>'

    def _picture(self, picture: Image, described: str) -> str:
        small = picture.copy()
        small.info.clear()  # Pillow would write comments and profiles
        small.thumbnail((self._side, self._side))
        width, height = small.size
        source = self._inside(*min((_png(small), _jpeg(small)), key=lambda pair: len(pair[1])))
        if not source:
            return _missing("the page is full")
        return f'<img src="{source}" width="{width}" height="{height}" alt="{escape(described)}">'

    def _sound(self, samples: NDArray[np.float32], rate: int, described: str) -> str:
        seconds = len(samples) / rate
        heard = _resampled(samples[: int(self._longest_s * rate)], rate)
        source = self._inside("audio/mpeg", _mp3(heard))
        if not source:
            return _missing("the page is full")
        note = ""
        if seconds > self._longest_s:
            note = f'<p class="note">the first {self._longest_s:g} of {seconds:,.0f} s</p>'
        return (
            f'{wave(_loudness(heard))}<audio controls preload="metadata" '
            f'aria-label="{escape(described)}" src="{source}"></audio>{note}'
        )

    def _inside(self, kind: str, data: bytes) -> str:
        """Return a data URI, or "" if the page is full."""
        if len(data) > self._left:
            return ""
        self._left -= len(data)
        return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def wave(loudness: Sequence[float]) -> str:
    """Return the loudness of a clip over time as SVG."""
    loudest = max(loudness, default=0.0) or 1.0
    drawn = "".join(
        f"M{5 * index + 2.5:g} {20 - size:.1f}v{2 * size:.1f}"
        for index, size in enumerate(1 + 17 * value / loudest for value in loudness)
    )
    return (
        f'<svg class="wave" viewBox="0 0 {5 * len(loudness)} 40" preserveAspectRatio="none" '
        f'aria-hidden="true"><path d="{drawn}"/></svg>'
    )


def _loudness(samples: NDArray[np.float32]) -> list[float]:
    import numpy as np

    return [float(np.abs(piece).max(initial=0.0)) for piece in np.array_split(samples, PIECES)]


def _resampled(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    if rate == RATE or not len(samples):
        return samples
    import av
    import numpy as np

    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
    frame.sample_rate = rate
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([each.to_ndarray()[0] for each in frames])


def _png(picture: Image) -> tuple[str, bytes]:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "image/png", file.getvalue()


def _jpeg(picture: Image) -> tuple[str, bytes]:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return "image/jpeg", file.getvalue()


def _mp3(samples: NDArray[np.float32]) -> bytes:
    import soundfile

    file = io.BytesIO()
    how = {"bitrate_mode": "VARIABLE", "compression_level": QUALITY}
    soundfile.write(file, samples, RATE, format="MP3", **how)
    return file.getvalue()


def _form(body: str) -> str:
    """Return the class of a figure: its width is that of a player or of a picture."""
    return "audio" if "<audio" in body else "image"


def _missing(reason: str) -> str:
    return f'<p class="missing" dir="auto">{escape(reason)}</p>'
