"""Where media bytes come from, what is refused, and how images and audio are read."""

from mmmodal.media.limits import Limits
from mmmodal.media.reading import read_media
from mmmodal.media.source import Source, open_source

__all__ = ["Limits", "Source", "open_source", "read_media"]
