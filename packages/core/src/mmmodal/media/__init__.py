"""Find the bytes of media, check them against limits, and read media through modalities."""

from mmmodal.media.limits import Limits
from mmmodal.media.reading import read_media
from mmmodal.media.source import Source, open_source

__all__ = ["Limits", "Source", "open_source", "read_media"]
