"""Picture files of every kind, read by core and made into pixels, against both libraries' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import AutoImageProcessor

from media_files import encode_picture
from mmmodal.media.limits import Limits
from mmmodal.media.reading import read_media
from mmmodal.parts import find
from mmmodal_vision_siglip import Siglip
from worlds import gradient

STEP = 2 / 255  # one step of 1/255, after the division by the deviation of 0.5


def files() -> dict[str, tuple[bytes, Image.Image]]:
    """Return files of each kind, and the upright opaque RGB picture that each is."""
    rgb, palette, cmyk = (gradient(90, 60).convert(mode) for mode in ("RGB", "P", "CMYK"))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees to the right
    alpha = rgb.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    on_white = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), alpha).convert("RGB")
    deep = np.linspace(0, 65_535, 90 * 60).reshape(60, 90).astype(np.uint16)
    grey = Image.fromarray((deep / 257).round().astype(np.uint8)).convert("RGB")
    return {
        "plain": (encode_picture(rgb, "PNG"), rgb),
        "turned": (
            encode_picture(rgb, "PNG", exif=turned),
            rgb.transpose(Image.Transpose.ROTATE_270),
        ),
        "alpha": (encode_picture(alpha, "PNG"), on_white),
        "palette": (encode_picture(palette, "PNG"), palette.convert("RGB")),
        "16 bits": (encode_picture(Image.fromarray(deep), "PNG"), grey),
        "CMYK": (encode_picture(cmyk, "TIFF"), cmyk.convert("RGB")),
    }


def read(data: bytes) -> Image.Image:
    image: Image.Image = read_media(
        find("modalities", "image").part(), data, root=None, limits=Limits()
    )
    return image


@pytest.mark.parametrize("kind", files())
def test_pixels_of_a_file_are_those_of_transformers(folder: Path, kind: str) -> None:
    data, upright = files()[kind]
    processor = AutoImageProcessor.from_pretrained(folder)
    expected = torch.as_tensor(processor(upright)["pixel_values"][0])
    found = Siglip.from_source(str(folder), {}).preprocess(read(data))
    assert (found - expected).abs().max() <= STEP + 1e-5


@pytest.mark.parametrize("kind", files())
def test_pixels_of_a_file_are_those_of_open_clip(tmp_path: Path, kind: str) -> None:
    data, upright = files()[kind]
    (tmp_path / "weights.pt").touch()
    tag = open_clip.get_pretrained_cfg("ViT-B-16-SigLIP", "webli")
    settings = {key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    transform = image_transform_v2(PreprocessCfg(size=224, **settings), is_train=False)
    encoder = Siglip.from_source(f"ViT-B-16-SigLIP:{tmp_path / 'weights.pt'}", {})
    assert (encoder.preprocess(read(data)) - transform(upright)).abs().max() <= STEP + 1e-5
