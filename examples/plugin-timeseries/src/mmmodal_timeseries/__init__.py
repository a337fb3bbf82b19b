"""Time series (CSV rows of numbers) as patch tokens for a language model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mmmodal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mmmodal.authoring.media import Limits, Source


class TimeSeries(mmmodal.Modality):
    name = "timeseries"

    def read(self, source: Source, limits: Limits) -> Tensor:
        import torch

        text = source.read_text(limits)
        try:
            rows = [[float(x) for x in line.split(",")] for line in text.splitlines() if line]
            series = torch.tensor(rows)  # [time, channels]
        except ValueError:
            raise mmmodal.MediaError("unreadable", source.origin, "not rows of numbers") from None
        if not len(series) or not series.isfinite().all():
            raise mmmodal.MediaError("unreadable", source.origin, "empty, or not finite")
        return series


class Patches(mmmodal.Encoder):
    name = "patches"
    modality = "timeseries"
    default_projector = "linear"

    class Options(mmmodal.Config):
        channels: int = 1
        patch: int = 4  # time steps per token
        width: int = 32

    options: Options

    @property
    def width(self) -> int:
        return self.options.width

    def preprocess(self, item: Tensor) -> Tensor:
        from torch.nn.functional import pad

        if item.shape[1] != self.options.channels:
            reason = f"{item.shape[1]} channels; the model accepts {self.options.channels}"
            raise mmmodal.MediaError("channels", "time series", reason)
        item = pad(item, (0, 0, 0, -len(item) % self.options.patch))
        return item.reshape(-1, self.options.patch * self.options.channels)  # [tokens, values]

    def example(self) -> Tensor:
        import torch

        return torch.zeros(self.options.patch, self.options.channels)

    def build(self) -> nn.Module:
        from mmmodal_timeseries.tower import Tower

        return Tower(self.options.patch * self.options.channels, self.options.width, math.pi)


@mmmodal.hookimpl
def mmmodal_modalities() -> list[type[mmmodal.Modality]]:
    return [TimeSeries]


@mmmodal.hookimpl
def mmmodal_encoders() -> list[type[mmmodal.Encoder]]:
    return [Patches]
