"""Tiny encoders of the real architectures with random weights, as folders of transformers."""

from __future__ import annotations

from pathlib import Path

__all__ = ["tiny_siglip", "tiny_whisper"]


def tiny_siglip(
    folder: str | Path,
    *,
    image_size: int = 32,
    patch_size: int = 8,
    hidden_size: int = 32,
    layers: int = 3,
    seed: int = 0,
) -> Path:
    """Write a SiglipModel with random weights, text tower and head, and its image processor."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    size = {
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_attention_heads": 4,
    }
    text = {**size, "num_hidden_layers": 1, "vocab_size": 64, "max_position_embeddings": 16}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    picture = {"image_size": image_size, "patch_size": patch_size}
    config = SiglipConfig(
        text_config={**text, **ends},
        vision_config={**size, **picture, "num_hidden_layers": layers},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": image_size, "width": image_size}).save_pretrained(folder)
    return Path(folder)


def tiny_whisper(
    folder: str | Path,
    *,
    d_model: int = 32,
    layers: int = 3,
    chunk_length: int = 2,
    num_mel_bins: int = 80,
    seed: int = 0,
) -> Path:
    """Write a Whisper model with random weights for windows of `chunk_length` seconds.

    It has a decoder and a feature extractor, but no tokenizer.
    """
    import torch
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    settings = {"feature_size": num_mel_bins, "chunk_length": chunk_length}
    extractor = WhisperFeatureExtractor(**settings)  # type: ignore[no-untyped-call, unused-ignore]
    config = WhisperConfig(
        d_model=d_model,
        encoder_layers=layers,
        encoder_attention_heads=4,
        encoder_ffn_dim=2 * d_model,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=2 * d_model,
        num_mel_bins=num_mel_bins,
        max_source_positions=extractor.nb_max_frames // 2,
        max_target_positions=16,
        vocab_size=64,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        decoder_start_token_id=2,
        init_std=0.15,  # with 0.02, the output of so small a network depends on positions only
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        WhisperForConditionalGeneration(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return Path(folder)
