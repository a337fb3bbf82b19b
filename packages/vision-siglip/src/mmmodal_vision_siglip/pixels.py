"""How a picture becomes squares of the size that a tower takes. S is the side of a square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["ResizeMode", "best_grid", "cut", "square"]

ResizeMode = Literal["squash", "shortest", "longest"]

LONGEST = 32
"""Of a strip longer than so many times its shorter side, `shortest` looks at the middle alone: of
16,384 × 1 it would make millions of pixels, to cut off all but S.
"""


def square(
    image: Pillow.Image, side: int, resample: Pillow.Resampling, mode: ResizeMode, fill: int
) -> Pillow.Image:
    """Resize a picture to S × S.

    `squash` changes its proportions, as SigLIP was trained; `shortest` fits the shorter side and
    cuts off the ends of the longer one; `longest` fits the longer side and fills the rest with the
    grey level `fill`. Sizes are rounded as open_clip's `image_transform` does
    (open_clip/transform.py).
    """
    if mode == "shortest":
        return _middle(image, side, resample)
    if mode == "longest":
        return _framed(image, side, resample, fill)
    return image.resize((side, side), resample)


def best_grid(width: int, height: int, side: int, limit: int) -> tuple[int, int]:
    """Choose the columns and rows of at most `limit` tiles of S × S for a picture of that size.

    The grid of the closest proportions wins. Of grids of the same ones, the larger is taken where
    the picture has more than half of the pixels that fit in it. This is the dynamic resolution of
    InternVL 1.5 (arXiv 2404.16821, section 3.3), but proportions are compared by their quotient,
    so that a turned picture has the turned grid.
    """
    grids = [(c, r) for c in range(1, limit + 1) for r in range(1, limit // c + 1)]

    def distance(grid: tuple[int, int]) -> float:
        wide, high = width * grid[1], height * grid[0]
        return max(wide, high) / min(wide, high)

    closest = min(map(distance, grids))
    same = sorted((g for g in grids if distance(g) == closest), key=lambda g: g[0] * g[1])
    filled = [(c, r) for c, r in same if 2 * width * height > c * r * side * side]
    return (filled or same[:1])[-1]


def cut(
    image: Pillow.Image, side: int, resample: Pillow.Resampling, limit: int
) -> list[Pillow.Image]:
    """Resize a picture to its best grid and cut it into tiles of S × S, row by row.

    Where there is more than one tile, the whole picture follows as a thumbnail of S × S.
    """
    columns, rows = best_grid(*image.size, side, limit)
    resized = image.resize((columns * side, rows * side), resample)
    tiles = [
        resized.crop((column * side, row * side, (column + 1) * side, (row + 1) * side))
        for row in range(rows)
        for column in range(columns)
    ]
    return tiles if len(tiles) == 1 else [*tiles, image.resize((side, side), resample)]


def _middle(image: Pillow.Image, side: int, resample: Pillow.Resampling) -> Pillow.Image:
    """Return the middle S × S of the picture resized to a shorter side of S."""
    shorter = min(image.size)
    if max(image.size) > LONGEST * shorter:
        image = _centre(image, *(min(length, LONGEST * shorter) for length in image.size))
    width, height = (int(side * length / shorter) for length in image.size)
    return _centre(image.resize((width, height), resample), side, side)


def _centre(image: Pillow.Image, width: int, height: int) -> Pillow.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _framed(image: Pillow.Image, side: int, resample: Pillow.Resampling, fill: int) -> Pillow.Image:
    """Return the picture resized to a longer side of S, in the middle of a grey square."""
    from PIL import Image as pillow

    scale = max(image.size) / side
    width, height = (max(1, round(length / scale)) for length in image.size)
    frame = pillow.new("RGB", (side, side), (fill, fill, fill))
    resized = image.resize((width, height), resample)
    frame.paste(resized, ((side - width) // 2, (side - height) // 2))
    return frame
