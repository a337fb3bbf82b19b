"""Whisper built by OpenAI's own code, and our tower with the weights of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.model import ModelDimensions
from whisper.model import Whisper as OpenaiWhisper

from mmmodal.contracts import Encoder
from mmmodal.modalities.audio import Waveform
from mmmodal_audio_whisper import Whisper
from mmmodal_audio_whisper.sizes import Size

__all__ = ["TINY", "encode", "loaded", "openai_whisper", "save_openai"]

TINY = Size(width=32, layers=3, heads=4, positions=100)


def openai_whisper(size: Size = TINY, seed: int = 0) -> OpenaiWhisper:
    """Return OpenAI's model with random weights and a minimal decoder."""
    encoder = (size.mel_bins, size.positions, size.width, size.heads, size.layers)
    decoder = (64, 16, 32, 4, 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return OpenaiWhisper(ModelDimensions(*encoder, *decoder)).eval()


def save_openai(model: OpenaiWhisper, path: Path, **changes: Any) -> Path:
    """Write a checkpoint in OpenAI's format."""
    held = {"dims": asdict(model.dims), "model_state_dict": model.state_dict()}
    torch.save({**held, **changes}, path)
    return path


def loaded(encoder: Encoder, source: str | Path) -> torch.nn.Module:
    """Return an encoder's tower with the weights of `source`, in fp32, without initialising it."""
    with torch.device("meta"):
        tower = encoder.build().eval()
    tower.load_state_dict(dict(encoder.load(str(source))), assign=True)
    return tower.float()


def encode(source: str | Path, clips: Sequence[Waveform], **options: Any) -> list[Tensor]:
    """Return the features of clips in one batch, with the weights of `source`."""
    encoder = Whisper.from_source(str(source), options)
    collated = encoder.collate([encoder.preprocess(one) for one in clips])
    with torch.no_grad():
        result: list[Tensor] = loaded(encoder, source)(**collated)
    return result
