"""The things of the world: coloured shapes, and their names in English and Malay."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

__all__ = [
    "COLOURS",
    "HELD_OUT",
    "SHAPES",
    "TALKS",
    "THINGS",
    "Split",
    "Talk",
    "Thing",
    "things_of",
]

Split = Literal["train", "test"]
"""The splits: `train` for training, `test` held out."""

COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 60),
    "blue": (40, 90, 220),
    "yellow": (245, 205, 40),
    "black": (25, 25, 25),
}
"""The RGB value of each colour."""

SHAPES = ("circle", "square", "triangle", "star")


@dataclass(frozen=True)
class Thing:
    """A coloured shape, which pictures show and phrases name."""

    colour: str
    shape: str

    def shares(self, other: Thing) -> str:
        """Return what two things have in common: both, colour, shape or nothing."""
        colour, shape = self.colour == other.colour, self.shape == other.shape
        if colour and shape:
            return "both"
        return "colour" if colour else "shape" if shape else "nothing"


THINGS = tuple(Thing(colour, shape) for colour, shape in product(COLOURS, SHAPES))

HELD_OUT = frozenset({Thing("yellow", "square"), Thing("blue", "star")})
"""The held-out pairs, a tenth of all: no part and no model is trained on them."""


@dataclass(frozen=True)
class Talk:
    """The words and patterns of one language for things."""

    code: str
    words: dict[str, str]
    """The language's word for each colour, shape and place."""

    thing: str
    """The pattern of a thing's name, with `colour` and `shape`."""

    one: str
    """The pattern of the first mention of a thing, with `thing`."""

    placed: str
    """The pattern of a thing at a place in a picture, with `one` and `place`."""

    both: str
    """The pattern of two things, with `a` and `b`."""

    frames: tuple[str, ...]
    """The patterns of spoken phrases with one `thing`, in the same order in every language."""

    def name(self, thing: Thing) -> str:
        """Return "red circle", "bulatan merah"."""
        return self.thing.format(colour=self.words[thing.colour], shape=self.words[thing.shape])

    def mention(self, thing: Thing) -> str:
        """Return "a red circle", "bulatan merah"."""
        return self.one.format(thing=self.name(thing))


ENGLISH = Talk(
    code="en",
    words={
        **{word: word for word in (*COLOURS, *SHAPES)},
        **{f"{y} {x}": f"{y} {x}" for y in ("top", "bottom") for x in ("left", "right")},
    },
    thing="{colour} {shape}",
    one="a {thing}",
    placed="{one} at the {place}",
    both="{a} and {b}",
    frames=(
        "a {thing}",
        "there is a {thing}",
        "I see a {thing}",
        "I want the {thing}",
        "where is the {thing}",
        "show me the {thing}",
        "this is a {thing}",
        "that is a {thing}",
        "draw a {thing}",
        "give me the {thing}",
    ),
)

MALAY = Talk(
    code="ms",
    words={
        "red": "merah",
        "green": "hijau",
        "blue": "biru",
        "yellow": "kuning",
        "black": "hitam",
        "circle": "bulatan",
        "square": "segi empat",
        "triangle": "segi tiga",
        "star": "bintang",
        "top left": "kiri atas",
        "top right": "kanan atas",
        "bottom left": "kiri bawah",
        "bottom right": "kanan bawah",
    },
    thing="{shape} {colour}",
    one="{thing}",
    placed="{one} di {place}",
    both="{a} dan {b}",
    frames=(
        "{thing}",
        "ada {thing}",
        "saya nampak {thing}",
        "saya mahu {thing}",
        "di mana {thing}",
        "tunjukkan {thing}",
        "ini {thing}",
        "itu {thing}",
        "lukis {thing}",
        "beri saya {thing}",
    ),
)

TALKS = {talk.code: talk for talk in (ENGLISH, MALAY)}


def things_of(split: Split) -> list[Thing]:
    """Return the things of a split; the test split has all things."""
    return [thing for thing in THINGS if split == "test" or thing not in HELD_OUT]
