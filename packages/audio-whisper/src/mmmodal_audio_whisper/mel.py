"""Whisper's log-mel spectrogram. W windows, S samples, M mel bands, F frames."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

__all__ = ["log_mel"]

HIGHEST = 8_000.0  # Hz, of the mel bands
SILENCE = 1e-10  # power
RANGE = 8.0  # powers of ten below the maximum, at which values are clipped


def log_mel(samples: Tensor, frames: int, rate: int, bands: int, n_fft: int, hop: int) -> Tensor:
    """Return the spectrograms [W, M, F] of windows [W, S], each scaled by its own maximum.

    After the samples there is silence up to `frames`, for which no transform is computed.
    """
    length = min(frames * hop, samples.shape[1] + n_fft)
    heard = torch.nn.functional.pad(samples, (0, length - samples.shape[1]))
    count = min(frames, 1 + (samples.shape[1] + n_fft // 2) // hop)
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(heard, n_fft, hop, window=window, return_complex=True)[..., :count]
    power = spectrum.real.square() + spectrum.imag.square()  # [W, n_fft // 2 + 1, count]
    energy = (_filters(rate, bands, n_fft) @ power).clamp(min=SILENCE).log10()  # [W, M, count]
    silence = math.log10(SILENCE)
    energy = torch.nn.functional.pad(energy, (0, frames - count), value=silence)  # [W, M, F]
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
