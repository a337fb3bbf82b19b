"""Small valid files of every container and codec that is read, for the fuzzer to damage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

sys.path.insert(0, str(Path(__file__).parents[4] / "tests" / "support"))

from media_files import CLIPS, encode_picture, encode_sound, write_clip, write_sound, write_to_pipe

__all__ = ["SEEDS"]

SAMPLES = 4_000
WRITTEN_BY_LIBSNDFILE = {
    "wav-pcm16": ("WAV", "PCM_16"),
    "wav-pcm24": ("WAV", "PCM_24"),
    "wav-float": ("WAV", "FLOAT"),
    "wav-ulaw": ("WAV", "ULAW"),
    "wav-adpcm": ("WAV", "IMA_ADPCM"),
    "wavex-pcm16": ("WAVEX", "PCM_16"),
    "rf64-pcm16": ("RF64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg-vorbis": ("OGG", "VORBIS"),
    "ogg-opus": ("OGG", "OPUS"),
    "mp3-lame": ("MP3", "MPEG_LAYER_III"),
    "wav-ms-adpcm": ("WAV", "MS_ADPCM"),
    "aiff-pcm16": ("AIFF", "PCM_16"),
    "aiff-float": ("AIFF", "FLOAT"),
    "au-pcm16": ("AU", "PCM_16"),
    "caf-pcm16": ("CAF", "PCM_16"),
}
TO_A_PIPE = {
    "wav-pcm-pipe": ("pcm_s16le", "wav"),
    "wav-mp3-pipe": ("libmp3lame", "wav"),
    "flac-pipe": ("flac", "flac"),
    "ogg-flac-pipe": ("flac", "ogg"),
}
FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof"


def images() -> dict[str, bytes]:
    """Return pictures of 32 x 24 pixels."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (24, 32, 3), np.uint8)
    noise[:12] = 200  # something that compresses
    rgb = pillow.fromarray(noise)
    rgba = pillow.fromarray(np.dstack([noise, noise[..., 0]]))
    turned = pillow.Exif()
    turned[0x0112] = 6
    deep = pillow.fromarray(noise[..., 0].astype(np.uint16) * 257)
    frames = [rgb.rotate(180), rgb.convert("L").convert("RGB")]
    several: dict[str, Any] = {"save_all": True, "append_images": frames}
    return {
        "jpeg": encode_picture(rgb, "JPEG"),
        "jpeg-progressive": encode_picture(rgb, "JPEG", progressive=True),
        "jpeg-grey": encode_picture(rgb.convert("L"), "JPEG"),
        "jpeg-cmyk": encode_picture(rgb.convert("CMYK"), "JPEG"),
        "jpeg-exif": encode_picture(rgb, "JPEG", exif=turned),
        "png": encode_picture(rgb, "PNG"),
        "png-alpha": encode_picture(rgba, "PNG"),
        "png-palette": encode_picture(rgb.convert("P"), "PNG", transparency=3),
        "png-16bit": encode_picture(deep, "PNG"),
        "png-1bit": encode_picture(rgb.convert("1"), "PNG"),
        "png-animated": encode_picture(rgb, "PNG", **several),
        "webp": encode_picture(rgb, "WEBP"),
        "webp-lossless": encode_picture(rgba, "WEBP", lossless=True),
        "webp-animated": encode_picture(rgb, "WEBP", **several),
        "gif": encode_picture(rgb, "GIF"),
        "gif-animated": encode_picture(rgb, "GIF", transparency=3, **several),
        "bmp": encode_picture(rgb, "BMP"),
        "bmp-palette": encode_picture(rgb.convert("P"), "BMP"),
        "tiff": encode_picture(rgb, "TIFF"),
        "tiff-several": encode_picture(rgb, "TIFF", **several),
        "tiff-16bit": encode_picture(deep, "TIFF"),
        "tiff-cmyk": encode_picture(rgb.convert("CMYK"), "TIFF"),
        **{f"tiff-{how}": encode_picture(rgb, "TIFF", compression=how) for how in PACKED},
        "tiff-group4": encode_picture(rgb.convert("1"), "TIFF", compression="group4"),
    }


PACKED = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")


def clips() -> dict[str, bytes]:
    """Return a quarter of a second of noise and tone."""
    random = np.random.default_rng(0)
    tone = 0.4 * np.sin(np.arange(SAMPLES) / 7)
    sound = np.stack([tone, random.uniform(-0.3, 0.3, SAMPLES)], 1).astype(np.float32)
    files = {}
    for name, (form, subtype) in WRITTEN_BY_LIBSNDFILE.items():
        files[name] = encode_sound(sound, form, subtype)
    for name in CLIPS:
        files[name] = write_clip(sound, name)
    for name, (codec, container) in TO_A_PIPE.items():
        files[name] = write_to_pipe(sound, codec, container)
    files["wav-mp3"] = write_sound(sound, "libmp3lame", "wav")
    files["wav-gsm"] = encode_sound(sound[:, 0], "WAV", "GSM610", 8_000)
    files["wav-g722"] = write_sound(sound[:, 0], "g722", "wav")
    files["mov-adpcm"] = write_sound(sound, "adpcm_ima_qt", "mov")
    files["mp4-fragments"] = write_clip(sound, "mp4-aac", movflags=FRAGMENTS, frag_duration="50000")
    files["mp4-index-first"] = write_clip(sound, "mp4-aac", movflags="faststart")
    files["mp4-film"] = write_clip(sound, "mp4-aac", film=True)
    files["mp4-surround"] = write_clip(np.tile(sound, 4), "mp4-aac")
    files["webm-live"] = write_clip(sound, "webm-opus", live="1")
    return files


SEEDS = {"image": images, "audio": clips}
