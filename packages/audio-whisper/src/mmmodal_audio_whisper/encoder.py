"""The options and preprocessing of Whisper; its network is in tower.py.

N clips, W windows, S samples, n positions; a position is two frames of the spectrogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from mmmodal.authoring.parts import Config, Encoder, MediaError, OfSource, PartError, validate
from mmmodal.authoring.pretrained import layers_to_run, tensor_shapes
from mmmodal_audio_whisper.formats import open_checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import WhisperConfig

    from mmmodal.authoring.media import AudioLimits

__all__ = ["Whisper", "WhisperOptions"]


class WhisperOptions(Config):
    """The layer of the features, and the preprocessing of sound."""

    select_layer: int = -2
    """The index of the hidden state that is the feature, among those of the source; the paper's is
    -2."""

    post_norm: bool = False
    """Apply Whisper's last norm to it."""

    length: Literal["trim", "full"] = "trim"
    """Keep only the positions with sound, or all 30 s of a window."""

    max_seconds: float = Field(600.0, gt=0)
    """The maximum duration of a clip; windows of 30 s are encoded separately and joined."""

    max_source_positions: OfSource[int] = Field(1500, ge=1)  # of a window
    num_mel_bins: OfSource[int] = Field(80, ge=1)
    sampling_rate: OfSource[int] = Field(16_000, ge=1)  # Hz
    n_fft: OfSource[int] = Field(400, ge=2)  # samples
    hop_length: OfSource[int] = Field(160, ge=1)  # samples


class Whisper(Encoder):
    """Whisper's encoder, in the format of transformers."""

    name: ClassVar[str] = "whisper"
    modality: ClassVar[str] = "audio"
    default_projector: ClassVar[str] = "conv"
    Options: ClassVar[type[Config]] = WhisperOptions
    options: WhisperOptions
    tower_config: WhisperConfig | None

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Return the encoder with the config of `source`, limited to the layers that are run.

        Raises:
            PartError: there is no source, it holds another model, or `options` do not fit it.
        """
        source = source or cls.source
        if source is None:
            example = f"{cls.name}:openai/whisper-small"
            raise PartError(f"encoder {cls.name!r} needs a source: a folder or Hub id ({example})")
        checkpoint = open_checkpoint(source)
        tower = checkpoint.config()
        _check_heads(tower, source)
        sizes = {key: getattr(tower, key) for key in ("num_mel_bins", "max_source_positions")}
        given = {**checkpoint.preprocessing(), **sizes, **options}
        checked = validate(WhisperOptions, given, f"options of encoder {cls.name!r}")
        for key, size in sizes.items():
            if getattr(checked, key) != size:
                raise PartError(f"{source} has {key} {size}, which cannot be set to {given[key]!r}")
        depth = tower.encoder_layers
        tower.encoder_layers = layers_to_run(checked.select_layer, depth, source)
        return cls(checked, tower)

    @property
    def width(self) -> int:
        """The encoder's width."""
        return self._config().d_model

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """Return the spectrograms of a clip's windows, after resampling it.

        `values` is [W, mel bands, frames]; `length` is the number of positions of the clip.
        """
        import torch

        from mmmodal_audio_whisper.mel import log_mel

        options = self.options
        samples = self._samples(item)  # [S]
        length, windows = self._positions(samples)
        values = log_mel(
            self._cut(samples, windows, length),
            2 * options.max_source_positions,
            options.sampling_rate,
            options.num_mel_bins,
            options.n_fft,
            options.hop_length,
        )
        return {"values": values, "length": torch.tensor(length)}

    def shape(self, features: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Return the number of positions (n,)."""
        return (int(features["length"]),)

    def measure(self, item: Any) -> tuple[int, ...]:
        """Return the number of positions (n,), without a spectrogram."""
        return (self._positions(self._samples(item))[0],)

    def collate(self, batch: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the windows of all clips, [W, mel bands, frames], and their `lengths`, [N]."""
        import torch

        return {
            "values": torch.cat([features["values"] for features in batch]),
            "lengths": torch.stack([features["length"] for features in batch]),
        }

    def example(self) -> Any:
        """Return a tenth of a second of silence."""
        import numpy as np

        from mmmodal.authoring.media import Waveform

        rate = self.options.sampling_rate
        return Waveform(np.zeros(rate // 10, np.float32), rate)

    def build(self) -> nn.Module:
        """Return the tower of `tower_config`."""
        from mmmodal_audio_whisper.tower import WhisperTower

        return WhisperTower(self._config(), self.options.post_norm)

    def load(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights of the layers that are run."""
        return open_checkpoint(source).tensors(tensor_shapes(self.build))

    def limits(self, limits: AudioLimits) -> AudioLimits:
        """Return the limits, with the duration raised to `max_seconds`."""
        seconds = max(limits.seconds, self.options.max_seconds)
        return limits.model_copy(update={"seconds": seconds})

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Return the weight files to download, as (file, bytes)."""
        return open_checkpoint(source).download_size()

    @property
    def _step(self) -> int:
        """The number of samples per position: Whisper's second convolution halves the frames."""
        return 2 * self.options.hop_length

    def _positions(self, samples: NDArray[np.float32]) -> tuple[int, int]:
        """Return the numbers of positions and of windows of a clip."""
        length = max(1, -(-len(samples) // self._step))
        windows = -(-length // self.options.max_source_positions)
        if self.options.length == "full":
            length = windows * self.options.max_source_positions
        return length, windows

    def _cut(self, samples: NDArray[np.float32], windows: int, length: int) -> Tensor:
        """Return the windows [W, S] of a clip of `length` positions.

        The last of several windows ends with the clip, and overlaps the one before: a short rest is
        then encoded within 30 s of sound, not alone in silence.
        """
        import torch

        whole = torch.from_numpy(samples)
        if windows == 1:
            return whole[None]
        size = self.options.max_source_positions * self._step
        padded = torch.nn.functional.pad(whole, (0, length * self._step - len(whole)))
        starts = [window * size for window in range(windows)]
        starts[-1] = len(padded) - size
        return torch.stack([padded[start : start + size] for start in starts])

    def _config(self) -> WhisperConfig:
        if self.tower_config is None:
            raise PartError(f"encoder {self.name!r} was created without a source and has no tower")
        return self.tower_config

    def _samples(self, item: Any) -> NDArray[np.float32]:
        """Return the samples [S] of a clip at the encoder's rate, after checking the clip."""
        import numpy as np
        import soxr  # type: ignore[import-untyped, unused-ignore]

        from mmmodal.authoring.media import Waveform

        if not isinstance(item, Waveform):
            origin = f"audio given as {type(item).__name__}"
            raise MediaError("unsupported", origin, "pass an mmmodal.modalities.audio.Waveform")
        if item.samples.ndim != 1 or not len(item.samples):
            found = f"samples of shape {list(item.samples.shape)}"
            raise MediaError("empty", "audio", f"{found}; pass mono samples [S]")
        if item.seconds > self.options.max_seconds:
            found = f"audio of {item.seconds:,.2f} s ({len(item.samples):,} samples)"
            limit = f"longer than the limit of {self.options.max_seconds:,g} s"
            todo = "cut it into clips or raise the encoder's `max_seconds`"
            raise MediaError("too-large", found, f"{limit}; {todo}")
        rate = self.options.sampling_rate
        samples = item.samples.astype(np.float32, copy=False)
        if item.rate == rate:
            return samples
        resampled: NDArray[np.float32] = soxr.resample(samples, item.rate, rate, quality="HQ")
        return resampled


def _check_heads(config: WhisperConfig, source: str) -> None:
    width, heads = config.d_model, config.encoder_attention_heads
    if heads < 1 or width % heads:
        raise PartError(f"{source}: a width of {width} cannot be divided by {heads} heads")
