"""The base64 of data URIs, read as browsers do (RFC 2397; WHATWG Infra, "forgiving-base64 decode").

Beyond browsers, the alphabet for URLs is accepted, and padding may be missing.
"""

from __future__ import annotations

import re

__all__ = ["DATA", "base64_of"]

DATA = re.compile(r"\s*data:[^,]*;\s*base64\s*,", re.IGNORECASE)
"""The head of a data URI of base64."""

WHITESPACE = b" \t\n\f\r"
# What encoders escape; each escape is decoded once, so that others are not base64.
ESCAPED = b"+/=-_" + WHITESPACE
STANDARD = bytes.maketrans(b"-_", b"+/")
MOST_PADDING = 2
LONG = 1_024  # characters, of which 16 are + on average
IRREGULAR = 3


def base64_of(payload: str) -> bytes:
    """Return the base64 behind the comma, in the standard alphabet, without padding and whitespace.

    Raises:
        ValueError: it is not valid base64, or its + were replaced by spaces.
    """
    data = payload.encode("ascii")
    if b"%" in data:
        for byte in ESCAPED:
            data = data.replace(b"%%%02X" % byte, b"%c" % byte)
            data = data.replace(b"%%%02x" % byte, b"%c" % byte)
    if _is_form_decoded(data):
        raise ValueError("each + became a space")
    packed = data.translate(None, WHITESPACE)
    text = packed.rstrip(b"=").translate(STANDARD)
    padding = len(packed) - len(text)
    if len(text) % 4 == 1 or padding > MOST_PADDING or (padding and len(packed) % 4):
        raise ValueError("base64 of an impossible length")
    return text


def _is_form_decoded(data: bytes) -> bool:
    """Return whether a web form took + for a space, which would lose these characters unseen."""
    if b" " not in data or len(data) < LONG or any(mark in data for mark in (b"+", b"-", b"\n")):
        return False
    lengths = {len(group) for group in data.strip().split(b" ")[:-1]}
    return len(lengths) > IRREGULAR
