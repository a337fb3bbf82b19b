"""Resize and cut pictures to squares of the tower's size. S is the side of a square."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["Filter", "ResizeMode", "Resizer", "best_grid", "cut", "resizing", "square"]

ResizeMode = Literal["squash", "shortest", "longest"]

Filter = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]

Resizer = Literal["pillow", "torchvision"]
"""The library that resizes. They differ by 1/255 in some pixels, and by more in narrow strips."""

Resize = Callable[["Pillow.Image", tuple[int, int]], "Pillow.Image"]
"""A function of a picture and its new width and height."""

LONGEST = 32
"""If a picture is longer than this many times its shorter side, `shortest` resizes only the middle:
otherwise 16,384 × 1 would become millions of pixels, of which all but S are cut off.
"""


def resizing(resizer: Resizer, resample: Filter) -> Resize:
    """Return a function that resizes as the model's own preprocessing.

    torchvision has only these two filters; transformers also uses Pillow for the others.
    """
    if resizer == "torchvision" and resample in ("bilinear", "bicubic"):
        return lambda image, size: _by_torchvision(image, size, resample)
    from PIL import Image

    chosen = Image.Resampling[resample.upper()]
    return lambda image, size: image.resize(size, chosen)


def _by_torchvision(image: Pillow.Image, size: tuple[int, int], resample: str) -> Pillow.Image:
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    # Channels stay last in memory, which is three times as fast.
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)  # [3, H, W]
    width, height = size
    resized = functional.resize(
        pixels, [height, width], interpolation=InterpolationMode(resample), antialias=True
    )
    return Image.fromarray(resized.permute(1, 2, 0).contiguous().numpy())


def square(
    image: Pillow.Image, side: int, resize: Resize, mode: ResizeMode, fill: int
) -> Pillow.Image:
    """Return a picture resized to S × S.

    `squash` changes its proportions, as in SigLIP's training; `shortest` fits the shorter side and
    cuts off the ends of the longer one; `longest` fits the longer side and fills the rest with the
    grey level `fill`. Sizes are rounded as in open_clip's `image_transform`
    (open_clip/transform.py).
    """
    if mode == "shortest":
        return _middle(image, side, resize)
    if mode == "longest":
        return _framed(image, side, resize, fill)
    return resize(image, (side, side))


def best_grid(width: int, height: int, side: int, limit: int) -> tuple[int, int]:
    """Return the columns and rows of at most `limit` tiles of S × S for a picture of that size.

    The grid with the closest proportions is selected. Of grids with equal proportions, the larger
    is selected if the picture has more than half of its pixels. This is the dynamic resolution of
    InternVL 1.5 (arXiv 2404.16821, section 3.3), except that proportions are compared by their
    quotient, so that a rotated picture has the rotated grid.
    """
    grids = [(c, r) for c in range(1, limit + 1) for r in range(1, limit // c + 1)]

    def distance(grid: tuple[int, int]) -> float:
        wide, high = width * grid[1], height * grid[0]
        return max(wide, high) / min(wide, high)

    closest = min(map(distance, grids))
    same = sorted((g for g in grids if distance(g) == closest), key=lambda g: g[0] * g[1])
    filled = [(c, r) for c, r in same if 2 * width * height > c * r * side * side]
    return (filled or same[:1])[-1]


def cut(image: Pillow.Image, side: int, resize: Resize, limit: int) -> list[Pillow.Image]:
    """Return the tiles of S × S, row by row, of a picture resized to its best grid.

    If there is more than one tile, the whole picture follows as a thumbnail of S × S.
    """
    columns, rows = best_grid(*image.size, side, limit)
    resized = resize(image, (columns * side, rows * side))
    tiles = [
        resized.crop((column * side, row * side, (column + 1) * side, (row + 1) * side))
        for row in range(rows)
        for column in range(columns)
    ]
    return tiles if len(tiles) == 1 else [*tiles, resize(image, (side, side))]


def _middle(image: Pillow.Image, side: int, resize: Resize) -> Pillow.Image:
    """Return the middle S × S of the picture resized to a shorter side of S."""
    shorter = min(image.size)
    if max(image.size) > LONGEST * shorter:
        image = _centre(image, *(min(length, LONGEST * shorter) for length in image.size))
    width, height = (int(side * length / shorter) for length in image.size)
    return _centre(resize(image, (width, height)), side, side)


def _centre(image: Pillow.Image, width: int, height: int) -> Pillow.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _framed(image: Pillow.Image, side: int, resize: Resize, fill: int) -> Pillow.Image:
    """Return the picture resized to a longer side of S, in the middle of a grey square."""
    from PIL import Image as pillow

    scale = max(image.size) / side
    width, height = (max(1, round(length / scale)) for length in image.size)
    frame = pillow.new("RGB", (side, side), (fill, fill, fill))
    resized = resize(image, (width, height))
    frame.paste(resized, ((side - width) // 2, (side - height) // 2))
    return frame
