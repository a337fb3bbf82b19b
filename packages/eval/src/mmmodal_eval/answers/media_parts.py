"""Media as parts of a message in the form of OpenAI's protocol.

Source: https://platform.openai.com/docs/api-reference/chat/create (`image_url`, `input_audio`).
"""

from __future__ import annotations

import base64
import re
from typing import Any

__all__ = ["media_part"]

IMAGES = {
    rb"\x89PNG": "png",
    rb"\xff\xd8\xff": "jpeg",
    rb"GIF8": "gif",
    rb"RIFF.{4}WEBP": "webp",
    rb"BM": "bmp",
    rb"II\*\x00|MM\x00\*": "tiff",
    rb".{4}ftyp(avif|avis)": "avif",
    rb".{4}ftyp": "heic",
}
SOUNDS = {
    rb"RIFF.{4}WAVE|RF64.{4}WAVE": "wav",
    rb"fLaC": "flac",
    rb"OggS": "ogg",
    rb".{4}ftyp": "m4a",
    rb"\x1aE\xdf\xa3": "webm",
    rb"ID3|\xff[\xe0-\xff]": "mp3",
}
"""The beginnings of files, and the names of their formats."""


def media_part(kind: str, data: bytes) -> dict[str, Any]:
    """Return a medium as a part of a message.

    The bytes are those of the file. Modalities that the protocol does not know have a part of their
    own name, `{"type": kind, kind: {"data": …}}`, with the bytes in base64.

    Args:
        kind: the modality.
        data: the bytes of the medium.
    """
    text = base64.b64encode(data).decode("ascii")
    if kind == "image":
        url = f"data:image/{_format(data, IMAGES, 'png')};base64,{text}"
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "audio":
        sound = {"data": text, "format": _format(data, SOUNDS, "wav")}
        return {"type": "input_audio", "input_audio": sound}
    return {"type": kind, kind: {"data": text}}


def _format(data: bytes, known: dict[bytes, str], default: str) -> str:
    found = (name for head, name in known.items() if re.match(head, data[:16], re.DOTALL))
    return next(found, default)
