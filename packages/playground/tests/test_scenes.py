"""Pictures show what they say, and the test split shows what training never did."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mmmodal_playground.scenes import Scene, any_scene, draw_scene, single_scene
from mmmodal_playground.things import COLOURS, HELD_OUT, TALKS, THINGS, Split, Thing, things_of


def scenes(split: Split, number: int = 300) -> list[Scene]:
    chance = random.Random(7)
    return [any_scene(split, chance) for _ in range(number)]


@pytest.mark.parametrize("thing", THINGS, ids=str)
def test_a_thing_is_drawn_in_its_colour_where_it_lies(thing: Thing) -> None:
    scene = single_scene(thing, "test", random.Random(1))
    pixels = np.asarray(draw_scene(scene))
    (shape,) = scene.shapes
    x, y = int(shape.x * pixels.shape[1]), int(shape.y * pixels.shape[0])
    assert tuple(pixels[y, x]) == COLOURS[thing.colour]
    assert (pixels == scene.ground).all(-1).mean() > 0.2


def test_shapes_of_one_colour_are_drawn_differently() -> None:
    drawn = {
        draw_scene(single_scene(Thing("red", shape), "test", random.Random(3))).tobytes()
        for shape in ("circle", "square", "triangle", "star")
    }
    assert len(drawn) == 4


def test_training_never_shows_a_held_out_pair_and_the_test_shows_all() -> None:
    trained = {thing for scene in scenes("train") for thing in scene.things}
    tested = {thing for scene in scenes("test") for thing in scene.things}
    assert trained == set(things_of("train")) == set(THINGS) - HELD_OUT
    assert tested == set(THINGS)
    assert len(HELD_OUT) * 10 == len(THINGS)


def test_no_arrangement_of_two_things_is_in_both_splits() -> None:
    arrangements = {
        split: {(s.things, s.places) for s in scenes(split, 3000) if s.places}
        for split in ("train", "test")
    }
    assert len(arrangements["train"]) > 500 and len(arrangements["test"]) > 300
    assert not arrangements["train"] & arrangements["test"]


def test_two_things_lie_in_the_quarters_that_are_named() -> None:
    for scene in scenes("train"):
        for shape, place in zip(scene.shapes, scene.places, strict=False):
            assert ("left" in place) == (shape.x < 0.5)
            assert ("top" in place) == (shape.y < 0.5)


def test_a_scene_is_described_in_both_languages() -> None:
    scene = next(scene for scene in scenes("train") if scene.places == ("top left", "bottom right"))
    a, b = scene.things
    assert scene.describe(TALKS["en"]) == (
        f"a {a.colour} {a.shape} at the top left and a {b.colour} {b.shape} at the bottom right"
    )
    words = TALKS["ms"].words
    assert scene.describe(TALKS["ms"]) == (
        f"{words[a.shape]} {words[a.colour]} di kiri atas dan "
        f"{words[b.shape]} {words[b.colour]} di kanan bawah"
    )
