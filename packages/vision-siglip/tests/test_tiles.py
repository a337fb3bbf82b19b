"""Tiles: a known number of them, each encoded as if it were a picture, whatever is beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import mmmodal
from mmmodal.errors import ConfigError
from mmmodal.testing import EncoderTests
from mmmodal_vision_siglip import Siglip, SiglipOptions
from mmmodal_vision_siglip.pixels import best_grid
from worlds import compose, gradient, user


def encoded(encoder: Siglip, source: Path, images: list[Image.Image]) -> list[Tensor]:
    tower = encoder.build().eval()
    tower.load_state_dict(dict(encoder.load(str(source))))
    with torch.no_grad():
        found: list[Tensor] = tower(**encoder.collate([encoder.preprocess(i) for i in images]))
    return found


class TestSiglipWithTiles(EncoderTests):
    @pytest.fixture
    def encoder(self, folder: Path) -> Siglip:
        return Siglip.from_source(str(folder), {"tiles": 6})

    @pytest.fixture
    def items(self) -> list[Image.Image]:
        return [gradient(*size) for size in ((32, 32), (300, 40), (1, 1), (90, 200), (64, 64))]


@pytest.mark.parametrize(
    ("size", "limit", "grid"),
    [
        ((384, 384), 12, (1, 1)),
        ((100, 100), 12, (1, 1)),
        ((500, 500), 12, (1, 1)),  # less than half of 768 x 768
        ((600, 600), 12, (2, 2)),
        ((600, 600), 3, (1, 1)),
        ((2000, 2000), 12, (3, 3)),
        ((1920, 1080), 12, (4, 2)),  # 16:9 is nearer to 2:1 than to 3:2
        ((1080, 1920), 12, (2, 4)),
        ((1754, 2480), 12, (3, 4)),  # a page of A4 at 210 dpi
        ((4000, 300), 12, (12, 1)),
        ((300, 4000), 12, (1, 12)),
        ((16_384, 1), 5, (5, 1)),
        ((1, 1), 12, (1, 1)),
        ((800, 600), 1, (1, 1)),
    ],
)
def test_grid_has_the_proportions_of_the_picture(
    size: tuple[int, int], limit: int, grid: tuple[int, int]
) -> None:
    assert best_grid(*size, 384, limit) == grid


@pytest.mark.parametrize("limit", range(1, 13))
def test_no_grid_is_closer_larger_than_allowed_or_changed_by_turning(limit: int) -> None:
    for width, height in ((640, 480), (1000, 333), (97, 1213), (5000, 4000), (385, 384)):
        columns, rows = best_grid(width, height, 384, limit)
        assert columns * rows <= limit
        assert best_grid(height, width, 384, limit) == (rows, columns)
        stretch = abs(math.log(width / height * rows / columns))
        others = ((c, r) for c in range(1, limit + 1) for r in range(1, limit // c + 1))
        assert all(stretch <= abs(math.log(width / height * r / c)) + 1e-9 for c, r in others)


@pytest.mark.parametrize(
    ("size", "tiles"), [((30, 30), 1), ((100, 30), 4), ((64, 64), 5), ((60, 120), 3)]
)
def test_token_count_is_known_before_the_model_runs(
    folder: Path, size: tuple[int, int], tiles: int
) -> None:
    bare = Siglip(Siglip.from_source(str(folder), {"tiles": 4}).options)  # as in a data worker
    pixels = bare.preprocess(gradient(*size))
    assert bare.shape(pixels) == (tiles, 4, 4)
    encoder = Siglip.from_source(str(folder), {"tiles": 4})
    assert encoded(encoder, folder, [gradient(*size)])[0].shape == (tiles, 4, 4, 32)


def test_features_of_a_tile_are_those_of_the_cut_picture_alone(folder: Path) -> None:
    image = gradient(200, 90)
    whole = Siglip.from_source(str(folder), {"resizer": "pillow"})
    cut = Siglip.from_source(str(folder), {"tiles": 6, "resizer": "pillow"})
    columns, rows = best_grid(*image.size, 32, 6)
    assert (columns, rows) == (2, 1)
    resized = image.resize((columns * 32, rows * 32), Image.Resampling.BICUBIC)
    crops = [resized.crop((32 * k, 0, 32 * k + 32, 32)) for k in range(columns)]
    # Beside other pictures with other numbers of tiles.
    _, found, _ = encoded(cut, folder, [gradient(9, 9), image, gradient(300, 30)])
    assert len(found) == 3
    for tile, alone in zip(found, [*crops, image], strict=True):  # the whole comes last
        expected = encoded(whole, folder, [alone])[0][0]
        torch.testing.assert_close(tile, expected, rtol=1e-5, atol=1e-5)


def test_composed_model_reads_pictures_of_several_tiles(
    folder: Path, parts: dict[str, Path], tmp_path: Path
) -> None:
    encoder = mmmodal.Part(name="siglip", source=str(folder), options={"tiles": 4})
    model = compose(parts["llama"], parts, tmp_path / "model", encoders={"image": encoder})
    images = [gradient(100, 30), gradient(30, 30), gradient(60, 120)]  # of 4, 1 and 3 tiles
    chat = [user(*images, "hm")]
    expected = None
    for whole in (model, mmmodal.load(tmp_path / "model")):
        batch = whole.processor.apply_chat_template([chat], tokenize=True, return_dict=True)
        slot = whole.processor.preparer.markers["image"].slot
        assert (batch["input_ids"] == slot).sum() == (4 + 1 + 3) * 16
        assert batch["pixel_values_counts"].tolist() == [4, 1, 3]
        with torch.no_grad():
            logits = whole(**batch).logits
        assert logits.isfinite().all()
        expected = logits if expected is None else expected
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_tiles_come_row_by_row(folder: Path) -> None:
    colours = ["red", "lime", "blue", "white"]
    image = Image.new("RGB", (64, 64))
    for number, colour in enumerate(colours):
        image.paste(
            colour,
            (
                32 * (number % 2),
                32 * (number // 2),
                32 * (number % 2) + 32,
                32 * (number // 2) + 32,
            ),
        )
    pixels = Siglip.from_source(str(folder), {"tiles": 4}).preprocess(image)
    centres = pixels[:4, :, 16, 16]
    assert centres.tolist() == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]]


def test_without_tiles_shapes_and_stored_options_are_as_before(folder: Path) -> None:
    encoder = Siglip.from_source(str(folder), {"resizer": "pillow"})
    pixels = encoder.preprocess(gradient(200, 90))
    assert pixels.shape == (3, 32, 32)
    assert encoder.collate([pixels, pixels])["values"].shape == (2, 3, 32, 32)
    assert encoder.collate([pixels]).keys() == {"values"}
    stored = encoder.options.model_dump(mode="json")
    assert stored.keys() == {
        "select_layer",
        "post_norm",
        "image_size",
        "patch_size",
        "resample",
        "rescale_factor",
        "image_mean",
        "image_std",
    }
    assert SiglipOptions(tiles=3, fill_color=7).model_dump().keys() - stored.keys() == {
        "tiles",
        "fill_color",
    }


@pytest.mark.parametrize(
    "options", [{"tiles": 0}, {"tiles": 13}, {"tiles": 2, "resize_mode": "longest"}]
)
def test_tiles_out_of_range_or_of_unsquashed_pictures_are_refused(
    folder: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="tiles"):
        Siglip.from_source(str(folder), options)
