"""Tiny encoders of the true architectures with random weights, in the folders users have."""

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
    """Write a random-init SiglipModel, text tower and head included, with its image processor."""
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
    """Write a random-init Whisper model for chunks of `chunk_length` seconds.

    Its decoder and its feature extractor are there, too; its tokenizer is not.
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
        init_std=0.15,  # with the usual 0.02 so small a network hears positions alone
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        WhisperForConditionalGeneration(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return Path(folder)
