"""The sizes of Whisper's published encoders, known without their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import WhisperConfig

__all__ = ["SIZES", "Size"]


@dataclass(frozen=True)
class Size:
    """The parameters of an encoder's architecture."""

    width: int
    layers: int
    heads: int
    mel_bins: int = 80
    positions: int = 1500
    """The number of features of a window, which has 30 s in every published model."""

    def config(self) -> WhisperConfig:
        """Return the config of this encoder in transformers."""
        from transformers import WhisperConfig

        return WhisperConfig(
            d_model=self.width,
            encoder_layers=self.layers,
            encoder_attention_heads=self.heads,
            encoder_ffn_dim=4 * self.width,
            num_mel_bins=self.mel_bins,
            max_source_positions=self.positions,
        )


# From table 1 of the paper (Radford et al. 2022), and for later models from openai/whisper's model
# card: large-v3 has more mel bins, turbo is large-v3 with another decoder.
SIZES = {
    "tiny": Size(384, 4, 6),
    "base": Size(512, 6, 8),
    "small": Size(768, 12, 12),
    "medium": Size(1024, 24, 16),
    "large-v1": Size(1280, 32, 20),
    "large-v2": Size(1280, 32, 20),
    "large-v3": Size(1280, 32, 20, mel_bins=128),
    "large-v3-turbo": Size(1280, 32, 20, mel_bins=128),
}
