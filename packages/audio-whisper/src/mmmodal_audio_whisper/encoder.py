"""Whisper's options and preprocessing; its network is in tower.py.

N clips, W windows, S samples, n positions; a position is two frames of the spectrogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from mmmodal import pretrained
from mmmodal.config import Config, validate
from mmmodal.contracts import Encoder
from mmmodal.errors import MediaError, PartError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import WhisperConfig

__all__ = ["Whisper", "WhisperOptions"]

ARCHITECTURE = (
    "d_model",
    "num_mel_bins",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "encoder_layerdrop",
    "activation_function",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "scale_embedding",
    "max_source_positions",
)
"""What of a Whisper config the encoder needs."""


class WhisperOptions(Config):
    """Which layer is taken, and how sound becomes a spectrogram; the source sets the rest."""

    select_layer: int = -2
    """The hidden state that is the feature, counted in the source's depth; -2 as in the paper."""

    post_norm: bool = False
    """Normalise it as Whisper does its last."""

    length: Literal["trim", "full"] = "trim"
    """Keep the positions that hold sound, or all 30 s of a window."""

    max_seconds: float = Field(600.0, gt=0)
    """Longer clips are refused; windows of 30 s are encoded on their own and joined."""

    max_source_positions: int = Field(1500, ge=1)  # of a window; the source's
    num_mel_bins: int = Field(80, ge=1)  # the source's
    sampling_rate: int = Field(16_000, ge=1)  # Hz
    n_fft: int = Field(400, ge=2)  # samples
    hop_length: int = Field(160, ge=1)  # samples


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
        """Read the config of `source`, cut to the layers that are run.

        Raises:
            PartError: there is no source, it is no such model, or `options` do not fit it.
        """
        source = source or cls.source
        if source is None:
            example = f"{cls.name}:openai/whisper-small"
            raise PartError(f"encoder {cls.name!r} needs a source: a folder or Hub id ({example})")
        tower = _read_config(source)
        sizes = {key: getattr(tower, key) for key in ("num_mel_bins", "max_source_positions")}
        given = {**_read_preprocessing(source), **sizes, **options}
        checked = validate(WhisperOptions, given, f"options of encoder {cls.name!r}")
        for key, size in sizes.items():
            if getattr(checked, key) != size:
                raise PartError(f"{source} has {key} {size}, which cannot be set to {given[key]!r}")
        depth = tower.encoder_layers
        tower.encoder_layers = pretrained.layers_to_run(checked.select_layer, depth, source)
        return cls(checked, tower)

    @property
    def width(self) -> int:
        """The encoder's width."""
        return self._config().d_model

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """Resample a clip, cut it into windows and take their spectrograms.

        `values` is [W, mel bands, frames], `length` the number of positions the clip has.
        """
        import torch

        from mmmodal_audio_whisper.mel import log_mel

        options = self.options
        samples = self._samples(item)  # [S]
        step = 2 * options.hop_length
        window = options.max_source_positions * step
        count = max(1, -(-len(samples) // window))
        padded = torch.zeros(count * window)
        padded[: len(samples)] = torch.from_numpy(samples)
        values = log_mel(
            padded.view(count, window),
            options.sampling_rate,
            options.num_mel_bins,
            options.n_fft,
            options.hop_length,
        )
        length = max(1, -(-len(samples) // step))
        if options.length == "full":
            length = count * options.max_source_positions
        return {"values": values, "length": torch.tensor(length)}

    def shape(self, features: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Tell the number of positions (n,)."""
        return (int(features["length"]),)

    def collate(self, batch: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Join the windows of all clips, [W, mel bands, frames]; `lengths` is [N]."""
        import torch

        return {
            "values": torch.cat([features["values"] for features in batch]),
            "lengths": torch.stack([features["length"] for features in batch]),
        }

    def example(self) -> Any:
        """Return a tenth of a second of silence."""
        import numpy as np

        from mmmodal.media.audio import Waveform

        rate = self.options.sampling_rate
        return Waveform(np.zeros(rate // 10, np.float32), rate)

    def build(self) -> nn.Module:
        """Build the tower that `tower_config` describes."""
        from mmmodal_audio_whisper.tower import WhisperTower

        return WhisperTower(self._config(), self.options.post_norm)

    def load(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights of the layers that are run, from the safetensors of `source`."""
        import torch

        with torch.device("meta"):
            shapes = {name: value.shape for name, value in self.build().state_dict().items()}
        return pretrained.read_tensors(source, shapes, ("model.encoder.", "encoder.", ""))

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """List the weight files that are not on this machine yet."""
        from mmmodal.downloads import hub_files

        return hub_files(source, pretrained.WEIGHT_FILES)

    def _config(self) -> WhisperConfig:
        if self.tower_config is None:
            raise PartError(f"encoder {self.name!r} was made without a source and has no tower")
        return self.tower_config

    def _samples(self, item: Any) -> NDArray[np.float32]:
        """Check a clip and return its samples [S] at the encoder's rate."""
        import numpy as np
        import soxr  # type: ignore[import-untyped, unused-ignore]

        from mmmodal.media.audio import Waveform

        if not isinstance(item, Waveform):
            origin = f"audio given as {type(item).__name__}"
            raise MediaError("unsupported", origin, "pass an mmmodal.media.audio.Waveform")
        if item.samples.ndim != 1 or not len(item.samples):
            found = f"samples of shape {list(item.samples.shape)}"
            raise MediaError("empty", "audio", f"{found}; pass mono samples [S]")
        if item.seconds > self.options.max_seconds:
            limit = f"at most {self.options.max_seconds:,.1f} s are encoded"
            todo = "cut it into clips or raise the encoder's `max_seconds`"
            raise MediaError("too-large", f"audio of {item.seconds:,.1f} s", f"{limit}; {todo}")
        rate = self.options.sampling_rate
        samples = item.samples.astype(np.float32, copy=False)
        if item.rate == rate:
            return samples
        resampled: NDArray[np.float32] = soxr.resample(samples, item.rate, rate, quality="HQ")
        return resampled


def _read_config(source: str) -> WhisperConfig:
    """Read the encoder's config, with its full depth."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import WhisperConfig

    values = pretrained.read_json(source, "config.json")
    if values is None:
        raise PartError(f"{source}: it has no config.json; is it a model of transformers?")
    if values.get("model_type") != "whisper":
        raise PartError(f"{source} is a {values.get('model_type')!r} model, not Whisper")
    try:
        return WhisperConfig(**{key: values[key] for key in ARCHITECTURE if key in values})
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PartError(f"{source}: config.json is no valid Whisper config: {reason}") from None


def _read_preprocessing(source: str) -> dict[str, Any]:
    """Read the options that preprocessing takes from the source's feature extractor."""
    values = pretrained.read_json(source, "preprocessor_config.json")
    if values is None:
        both = pretrained.read_json(source, "processor_config.json") or {}
        values = both.get("feature_extractor", {})
    keys = ("sampling_rate", "n_fft", "hop_length")
    return {key: values[key] for key in keys if values.get(key) is not None}
