"""Encoders on real media sizes: batched or one by one, trimmed or padded to 30 s, preprocessing.

    python bench/encoders.py [--quick] [--json FILE]

Architectures are the published ones with random weights: SigLIP base of 224 pixels and Whisper
tiny up to the paper's layer −2; with --quick three layers of SigLIP and fewer runs. Every pair runs
in one process, alternately; the figures are medians, ratios those of adjacent runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from racing import Result, race, show, write
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaModel,
    SiglipImageProcessor,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from mmmodal.contracts import Encoder, Projector
from mmmodal.contracts.projector import projected
from mmmodal.modalities.audio import Waveform
from mmmodal.parts import find
from mmmodal_audio_whisper import Whisper, WhisperOptions
from mmmodal_vision_siglip import Siglip, SiglipOptions

RATE = 16_000  # Hz
PACK = 16  # items
WIDTH = 512  # of the language model
SECONDS = (2, 5, 10, 20, 30)
PHOTOS = {"640 × 480": (640, 480), "1920 × 1080": (1920, 1080), "4000 × 3000": (4000, 3000)}


@dataclass(frozen=True)
class Perception:
    """An encoder with its network and that of its projector, as in a model."""

    encoder: Encoder
    tower: nn.Module
    projector: Projector
    projection: nn.Module

    @classmethod
    def of(cls, encoder: Encoder) -> Perception:
        torch.manual_seed(0)
        projector: Projector = find("projectors", encoder.default_projector).part()
        projection = projector.build(encoder.width, WIDTH).eval()
        return cls(encoder, encoder.build().eval(), projector, projection)

    def __call__(self, features: Sequence[Any]) -> Tensor:
        encoded = self.tower(**self.encoder.collate(features))
        return projected(self.projector, self.projection, encoded)[0]  # [tokens, D]


def siglip(layers: int) -> Perception:
    config = SiglipVisionConfig(num_hidden_layers=layers, vision_use_head=False)
    options = SiglipOptions(image_size=config.image_size, patch_size=config.patch_size)
    return Perception.of(Siglip(options, config))


def whisper_tiny(length: str) -> Perception:
    config = WhisperConfig(
        d_model=384,
        encoder_layers=3,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_layers=1,
    )
    return Perception.of(Whisper(WhisperOptions(length=length), config))


def clip(seconds: float, seed: int = 0) -> Waveform:
    samples = np.random.default_rng(seed).normal(0, 0.1, int(RATE * seconds))
    return Waveform(samples.astype(np.float32), RATE)


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@torch.inference_mode()
def batches(image: Perception, audio: Perception, runs: int) -> Result:
    """Return the figures of encoding a pack, in one batch per modality and item by item."""
    pictures = [image.encoder.preprocess(photo(300, 200, seed)) for seed in range(PACK)]
    lengths = np.random.default_rng(0).uniform(2, 30, PACK)
    clips = [audio.encoder.preprocess(clip(length)) for length in lengths]
    results = {}
    for name, perceive, items in (("images", image, pictures), ("clips", audio, clips)):

        def alone(perceive: Perception = perceive, items: Sequence[Any] = items) -> Tensor:
            return torch.cat([perceive([item]) for item in items])

        def batch(perceive: Perception = perceive, items: Sequence[Any] = items) -> Tensor:
            return perceive(items)

        torch.testing.assert_close(batch(), alone(), atol=1e-4, rtol=1e-4)
        results[f"{PACK} {name}"] = race({"batch": batch, "one_by_one": alone}, runs)
    return results


@torch.inference_mode()
def trimming(trim: Perception, full: Perception, runs: int) -> Result:
    """Return the figures of encoding a clip and reading it by a language model, trimmed or not."""
    torch.manual_seed(0)
    reader = LlamaModel(
        LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=1408,
            num_hidden_layers=8,
            num_attention_heads=8,
            vocab_size=64,
        )
    ).eval()
    results = {}
    for seconds in SECONDS:
        row: dict[str, float] = {}
        ways = {}
        for name, perceive in (("trim", trim), ("full", full)):
            features = perceive.encoder.preprocess(clip(seconds))
            tokens = perceive([features])
            row[f"{name}_tokens"] = len(tokens)

            def both(perceive: Perception = perceive, features: Any = features) -> None:
                reader(inputs_embeds=perceive([features])[None])

            ways[name] = both
        results[f"{seconds} s"] = row | race(ways, runs)
    return results


def pictures_prepared(runs: int) -> Result:
    """Return the figures of preprocessing pictures for SigLIP base of 384 pixels."""
    ours = Siglip(SiglipOptions(image_size=384, resizer="torchvision"))
    pillows = Siglip(SiglipOptions(image_size=384))
    size = {"height": 384, "width": 384}
    torchvision, pillow = SiglipImageProcessor(size=size), SiglipImageProcessorPil(size=size)
    published = get_pretrained_cfg("ViT-B-16-SigLIP-384", "webli")
    known = {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    theirs = image_transform_v2(PreprocessCfg(size=384, **known), is_train=False)
    results = {}
    for name, pixels in PHOTOS.items():
        picture = photo(*pixels)
        by_torchvision = {
            "ours": lambda p=picture: ours.preprocess(p),
            "transformers": lambda p=picture: torchvision(p, return_tensors="pt"),
        }
        by_pillow = {
            "ours_pil": lambda p=picture: pillows.preprocess(p),
            "transformers_pil": lambda p=picture: pillow(p, return_tensors="pt"),
            "open_clip": lambda p=picture: theirs(p),
        }
        results[name] = race(by_torchvision, runs) | race(by_pillow, runs)
    return results


def clips_prepared(runs: int) -> Result:
    """Return the figures of preprocessing clips of 16 kHz for Whisper."""
    ours, theirs = Whisper(WhisperOptions()), WhisperFeatureExtractor()
    results = {}
    for seconds in SECONDS:
        sound = clip(seconds)
        ways = {
            "ours": lambda s=sound: ours.preprocess(s),
            "transformers": lambda s=sound: theirs(
                s.samples, sampling_rate=RATE, return_tensors="pt"
            ),
            "openai_whisper": lambda s=sound: whisper.log_mel_spectrogram(
                whisper.pad_or_trim(s.samples)
            ),
        }
        results[f"{seconds} s"] = race(ways, runs)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer layers and runs")
    parser.add_argument("--json", type=Path, default=Path("build/bench/encoders.json"))
    arguments = parser.parse_args()
    path, quick = arguments.json, arguments.quick
    torch.set_num_threads(1)  # as in a data worker, and the same for all
    few, many = (1, 5) if quick else (3, 15)
    trim, full = whisper_tiny("trim"), whisper_tiny("full")
    results = {
        "a pack in one batch against one by one": batches(siglip(3 if quick else 11), trim, few),
        "a clip trimmed against 30 s, encoded and read": trimming(trim, full, few),
        "a picture preprocessed": pictures_prepared(many),
        "a clip preprocessed": clips_prepared(many),
    }
    for title, rows in results.items():
        show(title, rows)
    write(path, results)


if __name__ == "__main__":
    main()
