"""Raw material for a data pipeline: long recordings of speech, and pictures with captions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal_playground.phrases import any_phrase
from mmmodal_playground.scenes import draw_scene, single_scene
from mmmodal_playground.speech import RATE, Say, any_voice, speaking
from mmmodal_playground.things import TALKS, things_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["make_sources"]

PHRASES = 8  # in a recording
PAUSE_S = 1.0  # between two phrases
PICTURES = 16  # for each recording


def make_sources(folder: Path, number: int, seed: int = 0) -> Path:
    """Write `number` recordings, each in one language, and pictures.

    `recordings` and `pictures.jsonl` are the input of a data pipeline; `spoken.jsonl` has the words
    of every recording as a reference.
    """
    chance = random.Random(f"sources {seed}")
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    (folder / "pictures").mkdir(exist_ok=True)
    with speaking() as say:
        _write_lines(folder / "spoken.jsonl", _recordings(folder, number, chance, say))
    _write_lines(folder / "pictures.jsonl", _pictures(folder, PICTURES * number, chance))
    return folder


def _recordings(
    folder: Path, number: int, chance: random.Random, say: Say
) -> Iterator[dict[str, Any]]:
    import soundfile

    languages = list(TALKS)
    for index in range(number):
        language = languages[index % len(languages)]
        things = chance.choices(things_of("train"), k=PHRASES)
        texts = [any_phrase(language, thing, "train", chance).text for thing in things]
        uri = f"recordings/{language}-{index:03d}.wav"
        soundfile.write(folder / uri, _spoken(texts, language, chance, say), RATE, subtype="PCM_16")
        yield {"audio": uri, "lang": language, "phrases": texts}


def _spoken(
    texts: list[str], language: str, chance: random.Random, say: Say
) -> NDArray[np.float32]:
    """Return the samples [S] of texts in one voice, with pauses between them."""
    import numpy as np

    voice = replace(any_voice(language, chance), noise=0.0, lead=0.0)
    pause = np.zeros(int(PAUSE_S * RATE), np.float32)
    return np.concatenate([part for text in texts for part in (say(text, voice), pause)])


def _pictures(folder: Path, number: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    english = TALKS["en"]
    for index in range(number):
        scene = single_scene(chance.choice(things_of("train")), "train", chance)
        (thing,) = scene.things
        uri = f"pictures/{index:03d}.png"
        draw_scene(scene).save(folder / uri)
        caption = scene.mention(english)
        yield {"image": uri, "caption": caption, "colour": thing.colour, "shape": thing.shape}


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
