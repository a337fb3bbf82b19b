"""Markup that no text of a row may hold: tags of chat templates and markers of media."""

from __future__ import annotations

import re

__all__ = ["MARKERS", "TAGS"]

TAGS = re.compile(
    r"</?s>|\[/?INST\]|<</?SYS>>|<\|[^|>\n]{1,40}\|>|<(?:start|end)_of_turn>|\[/?(?:SYSTEM|AVAILABLE)_"
)
"""The tags that chat templates put around turns; in an answer they are a leak."""

MARKERS = re.compile(r"</?(?:image|audio|imej|img|gambar)>", re.IGNORECASE)
"""The markers of media in other formats, and their forms after machine translation."""
