"""How a picture becomes squares of the size that a tower takes. S is the side of a square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image as Pillow

__all__ = ["ResizeMode", "best_grid", "cut", "square"]

ResizeMode = Literal["squash", "shortest", "longest"]


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
    """Return the middle S × S of the picture resized to a shorter side of S.

    The rest is never made: a thin strip of 16,384 × 1 would be millions of pixels long.
    """
    box = []
    for length in image.size:
        whole = int(side * length / min(image.size))  # of which S are kept
        start, scale = round((whole - side) / 2), length / whole
        box += [(start * scale, (start + side) * scale)]
    (left, right), (top, bottom) = box
    return image.resize((side, side), resample, box=(left, top, right, bottom))


def _framed(image: Pillow.Image, side: int, resample: Pillow.Resampling, fill: int) -> Pillow.Image:
    """Return the picture resized to a longer side of S, in the middle of a grey square."""
    from PIL import Image as pillow

    scale = max(image.size) / side
    width, height = (max(1, round(length / scale)) for length in image.size)
    frame = pillow.new("RGB", (side, side), (fill, fill, fill))
    resized = image.resize((width, height), resample)
    frame.paste(resized, ((side - width) // 2, (side - height) // 2))
    return frame
