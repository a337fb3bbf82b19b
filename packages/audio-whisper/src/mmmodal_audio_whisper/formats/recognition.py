"""Which format the weights of Whisper at a source are in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.authoring.parts import PartError, suggest
from mmmodal.authoring.pretrained import Checkpoint
from mmmodal_audio_whisper.formats import openai_cache
from mmmodal_audio_whisper.formats.openai import OpenaiFile, OpenaiModel
from mmmodal_audio_whisper.formats.transformers import TransformersCheckpoint

if TYPE_CHECKING:
    from transformers import WhisperConfig

__all__ = ["open_checkpoint"]

LOOKED_FOR = (
    "a folder or a Hub id (OWNER/NAME) of transformers, a .pt file of openai-whisper, "
    "or a model that it knows by name"
)


def open_checkpoint(source: str) -> Checkpoint[WhisperConfig]:
    """Recognise the format of a source.

    A folder is transformers', whatever its name; OWNER/NAME is on the Hub; a name without a slash
    is openai-whisper's.

    Raises:
        PartError: it is none of them; says what was looked for.
    """
    path = Path(source)
    if path.is_dir():
        return TransformersCheckpoint(source)
    if path.is_file():
        if path.suffix == ".pt":
            return OpenaiFile(source)
        raise PartError(f"{source}: a file of no known format. Looked for: {LOOKED_FOR}")
    if path.suffix == ".pt" or path.exists() or source.startswith((".", "/", "~")):
        raise PartError(f"{source}: no such folder or file. Looked for: {LOOKED_FOR}")
    if source.count("/") == 1:
        return TransformersCheckpoint(source)
    if source in openai_cache.names():
        return OpenaiModel(source)
    known = suggest(source, openai_cache.names())
    raise PartError(f"{source}: no such folder, file or model. Looked for: {LOOKED_FOR}{known}")
