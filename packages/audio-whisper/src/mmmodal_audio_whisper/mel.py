"""Whisper's log-mel spectrogram. W windows, S samples, M mel bands, F frames."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

__all__ = ["log_mel"]

HIGHEST = 8_000.0  # Hz; of the mel bands
RANGE = 8.0  # powers of ten below the loudest that are told apart


def log_mel(samples: Tensor, rate: int, bands: int, n_fft: int, hop: int) -> Tensor:
    """Turn windows [W, S] into [W, M, F], each window scaled by its own loudest point."""
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(samples, n_fft, hop, window=window, return_complex=True)
    power = (spectrum[..., :-1].abs() ** 2).contiguous()  # [W, n_fft // 2 + 1, F]
    energy = (_filters(rate, bands, n_fft) @ power).clamp(min=1e-10).log10()  # [W, M, F]
    floor = energy.amax(dim=(1, 2), keepdim=True) - RANGE
    return (torch.maximum(energy, floor) + 4.0) / 4.0


@functools.cache
def _filters(rate: int, bands: int, n_fft: int) -> Tensor:
    filters = mel_filter_bank(
        num_frequency_bins=1 + n_fft // 2,
        num_mel_filters=bands,
        min_frequency=0.0,
        max_frequency=HIGHEST,
        sampling_rate=rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters.T.copy()).float()  # [M, n_fft // 2 + 1]
