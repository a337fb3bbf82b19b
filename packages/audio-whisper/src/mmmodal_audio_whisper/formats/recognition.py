"""Detect the format of Whisper's weights at a source."""

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
    "or a name of a model of openai-whisper"
)


def open_checkpoint(source: str) -> Checkpoint[WhisperConfig]:
    """Return the checkpoint of a source.

    A folder is one of transformers; OWNER/NAME is on the Hub; a name without a slash is one of
    openai-whisper.

    Raises:
        PartError: it is none of these.
    """
    path = Path(source)
    if path.is_dir():
        return TransformersCheckpoint(source)
    if path.is_file():
        if path.suffix == ".pt":
            return OpenaiFile(source)
        raise PartError(f"{source}: a file of unknown format. Expected: {LOOKED_FOR}")
    if path.suffix == ".pt" or path.exists() or source.startswith((".", "/", "~")):
        raise PartError(f"{source}: no such folder or file. Expected: {LOOKED_FOR}")
    if source.count("/") == 1:
        return TransformersCheckpoint(source)
    if source in openai_cache.names():
        return OpenaiModel(source)
    known = suggest(source, openai_cache.names())
    raise PartError(f"{source}: no such folder, file or model. Expected: {LOOKED_FOR}{known}")
