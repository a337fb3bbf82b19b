"""Pictures: one coloured shape anywhere, or two in different quarters, on a pale background."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmmodal_playground.things import COLOURS, HELD_OUT, THINGS, Split, Talk, Thing, things_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

__all__ = [
    "PLACES",
    "SIZE",
    "Scene",
    "Shape",
    "any_scene",
    "draw_scene",
    "pair_scene",
    "single_scene",
]

PLACES = ("top left", "top right", "bottom left", "bottom right")
SIZE = 128  # pixels
SMOOTH = 4  # pictures are drawn this many times larger, then averaged
CELLS = 5  # on each side of the grid of places; a fifth of them is held out for each thing


@dataclass(frozen=True)
class Shape:
    """A thing with its place on a canvas of 1 × 1."""

    thing: Thing
    x: float
    y: float
    radius: float
    turn: float  # radians

    def covers(self, index: int, rows: int) -> bool:
        """Return whether it covers cell `index` of a grid of `rows` × `rows`, row by row."""
        x, y = (index % rows + 0.5) / rows, (index // rows + 0.5) / rows
        return max(abs(x - self.x), abs(y - self.y)) < 0.6 * self.radius + 0.5 / rows


@dataclass(frozen=True)
class Scene:
    """The content of a picture; `places` has the quarters of two shapes and is empty for one."""

    shapes: tuple[Shape, ...]
    places: tuple[str, ...]
    ground: tuple[int, int, int]

    @property
    def things(self) -> tuple[Thing, ...]:
        """The things in the scene, from the top left to the bottom right."""
        return tuple(shape.thing for shape in self.shapes)

    @property
    def split(self) -> Split:
        """The split of the scene, in which alone it is drawn.

        Held out are the pairs of colour and shape in `HELD_OUT`, a fifth of the arrangements of two
        things, and for each single thing a fifth of its places.
        """
        if HELD_OUT.intersection(self.things):
            return "test"
        if self.places:
            a, b = (THINGS.index(thing) for thing in self.things)
            pair = PLACES.index(self.places[0]) + PLACES.index(self.places[1])
            return "test" if (a + 2 * b + pair) % 5 == 0 else "train"
        (shape,) = self.shapes
        cell = int(shape.x * CELLS) + 2 * int(shape.y * CELLS)
        return "test" if (cell + THINGS.index(shape.thing)) % 5 == 0 else "train"

    def mention(self, talk: Talk) -> str:
        """Return the things in the scene, in one language."""
        said = [talk.mention(thing) for thing in self.things]
        return talk.both.format(a=said[0], b=said[1]) if self.places else said[0]

    def describe(self, talk: Talk) -> str:
        """Return a description of the scene, with the places of two things."""
        said = [talk.mention(thing) for thing in self.things]
        if not self.places:
            return said[0]
        a, b = (
            talk.placed.format(one=one, place=talk.words[place])
            for one, place in zip(said, self.places, strict=True)
        )
        return talk.both.format(a=a, b=b)


def any_scene(split: Split, chance: random.Random) -> Scene:
    """Return a scene of one thing, or more often of two."""
    while True:
        if chance.random() < 0.35:
            return single_scene(chance.choice(things_of(split)), split, chance)
        a, b = chance.sample(things_of(split), 2)
        scene = pair_scene(a, b, split, chance)
        if scene is not None:
            return scene


def single_scene(thing: Thing, split: Split, chance: random.Random) -> Scene:
    """Return a scene of one thing, large or small, in a place of the split."""
    while True:
        radius = chance.uniform(0.18, 0.42)
        x, y = (chance.uniform(radius, 1 - radius) for _ in range(2))
        scene = Scene((Shape(thing, x, y, radius, _turn(chance)),), (), _ground(chance))
        if scene.split == split:
            return scene


def pair_scene(a: Thing, b: Thing, split: Split, chance: random.Random) -> Scene | None:
    """Return a scene of two things in different quarters; None if the split has no such scene."""
    pairs = [(i, j) for i in PLACES for j in PLACES if PLACES.index(i) < PLACES.index(j)]
    chance.shuffle(pairs)
    for places in pairs:
        shapes = tuple(
            _in(place, thing, chance) for place, thing in zip(places, (a, b), strict=True)
        )
        scene = Scene(shapes, places, _ground(chance))
        if scene.split == split:
            return scene
    return None


Colour = tuple[int, int, int]


def draw_scene(scene: Scene, size: int = SIZE, *, fills: Sequence[Colour] = ()) -> Image:
    """Return an RGB picture of `size` × `size` pixels with smooth edges.

    `fills` are colours that replace those of the things, one for each shape.
    """
    from PIL import Image, ImageDraw

    large = size * SMOOTH
    picture = Image.new("RGB", (large, large), scene.ground)
    pen = ImageDraw.Draw(picture)
    fills = fills or [COLOURS[thing.colour] for thing in scene.things]
    for shape, fill in zip(scene.shapes, fills, strict=True):
        _draw(pen, shape, fill, large)
    return picture.resize((size, size), Image.Resampling.BOX)


def _in(place: str, thing: Thing, chance: random.Random) -> Shape:
    left, top = 0.5 * ("right" in place), 0.5 * ("bottom" in place)
    radius = chance.uniform(0.18, 0.25)
    x, y = (chance.uniform(radius, 0.5 - radius) for _ in range(2))
    return Shape(thing, left + x, top + y, radius, _turn(chance))


def _turn(chance: random.Random) -> float:
    return chance.uniform(-0.15, 0.15)


def _ground(chance: random.Random) -> tuple[int, int, int]:
    level = chance.randint(200, 255)
    red, green, blue = (min(255, level + chance.randint(-12, 12)) for _ in range(3))
    return red, green, blue


def _draw(pen: ImageDraw, shape: Shape, fill: Colour, size: int) -> None:
    """Draw one shape inside its radius."""
    x, y, r = (size * value for value in (shape.x, shape.y, shape.radius))

    def points(radii: list[float], start: float) -> list[tuple[float, float]]:
        corners = []
        for index, radius in enumerate(radii):
            angle = start + shape.turn + 2 * math.pi * index / len(radii)
            corners.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
        return corners

    up = -math.pi / 2
    match shape.thing.shape:
        case "circle":
            pen.circle((x, y), 0.8 * r, fill=fill)
        case "square":
            pen.polygon(points([r] * 4, up / 2), fill=fill)
        case "triangle":
            pen.polygon(points([r] * 3, up), fill=fill)
        case "star":
            pen.polygon(points([r, 0.4 * r] * 5, up), fill=fill)
