"""The short conversation at the end of a quickstart, about two pictures and a clip."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmmodal
from mmmodal_playground.phrases import any_phrase
from mmmodal_playground.scenes import draw_scene, single_scene
from mmmodal_playground.speech import any_voice, save_speech
from mmmodal_playground.things import HELD_OUT, Thing

__all__ = ["demonstrate"]

FIRST, SECOND = sorted(HELD_OUT, key=str)  # the model was never trained on these


def demonstrate(out: Path) -> list[str]:
    """Return the lines of a conversation with the model in `out`."""
    return list(_lines(out))


def _lines(out: Path) -> Iterator[str]:
    chance = random.Random(0)
    folder = out / "demonstration"
    folder.mkdir(exist_ok=True)
    pictures = {"left.png": FIRST, "right.png": Thing(SECOND.colour, FIRST.shape)}
    for name, thing in pictures.items():
        draw_scene(single_scene(thing, "test", chance)).save(folder / name)
    phrase = any_phrase("en", SECOND, "test", chance)
    save_speech(folder / "clip.wav", phrase.text, any_voice("en", chance))
    images, clip = [folder / name for name in pictures], folder / "clip.wav"

    chat = mmmodal.Chat(mmmodal.load(out / "model"))
    yield f"\nA conversation about {images[0]}, {images[1]} and {clip}:"
    turns: tuple[tuple[str, dict[str, Any]], ...] = (
        ("What is in image 1?", {"images": images}),
        ("What is related between image 1 and image 2?", {}),
        ("What do you hear in audio 1?", {"audio": [clip]}),
        ("What is related between image 2 and audio 1?", {}),
        ("Warna apakah yang disebut dalam audio 1?", {}),
    )
    for question, media in turns:
        yield f"> {question}"
        yield chat.say(question, **media)
