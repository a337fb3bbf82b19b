"""Drawn shapes, beeps, and conversations about them, which parts with random weights can learn.

Speech would be too hard for an untrained encoder.
"""

from __future__ import annotations

import json
import random
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LANGUAGES", "Scene", "Sound", "make_records"]

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 70),
    "blue": (50, 80, 220),
    "yellow": (240, 210, 50),
}
SHAPES = ("circle", "square", "triangle")
PITCHES = {"low": 330, "high": 1320}  # Hz
COUNTS = (1, 2, 3)
SIZE = 64  # pixels
RATE = 16_000  # Hz
BEEP = 0.15  # seconds, followed by an equally long pause

LANGUAGES = {
    "en": {
        "words": {},
        "image": "What is in picture {n}?",
        "image_answer": "A {colour} {shape}.",
        "audio": "What do you hear in audio {n}?",
        "audio_answer": "{count} {pitch} beeps.",
        "same": "Do pictures {a} and {b} show the same colour?",
        "yes": "Yes.",
        "no": "No.",
    },
    "ms": {
        "words": {
            "red": "merah",
            "green": "hijau",
            "blue": "biru",
            "yellow": "kuning",
            "circle": "bulatan",
            "square": "segi empat",
            "triangle": "segi tiga",
            "low": "rendah",
            "high": "tinggi",
        },
        "image": "Apa yang ada dalam gambar {n}?",
        "image_answer": "{shape} {colour}.",
        "audio": "Apa yang anda dengar dalam audio {n}?",
        "audio_answer": "{count} bunyi {pitch}.",
        "same": "Adakah gambar {a} dan {b} sama warna?",
        "yes": "Ya.",
        "no": "Tidak.",
    },
}
"""The questions and answers of each language."""


@dataclass(frozen=True)
class Scene:
    """A coloured shape somewhere on a grey background."""

    colour: str
    shape: str
    x: int
    y: int

    def draw(self, path: Path) -> None:
        """Write it as PNG."""
        from PIL import Image, ImageDraw

        picture = Image.new("RGB", (SIZE, SIZE), (200, 200, 200))
        pen, r, fill = ImageDraw.Draw(picture), SIZE // 4, COLOURS[self.colour]
        box = (self.x - r, self.y - r, self.x + r, self.y + r)
        if self.shape == "circle":
            pen.ellipse(box, fill=fill)
        elif self.shape == "square":
            pen.rectangle(box, fill=fill)
        else:
            pen.polygon([(box[0], box[3]), (box[2], box[3]), (self.x, box[1])], fill=fill)
        picture.save(path)


@dataclass(frozen=True)
class Sound:
    """Some beeps of one pitch."""

    count: int
    pitch: str
    loudness: float

    def play(self, path: Path) -> None:
        """Write it as WAV."""
        import numpy as np

        time = np.arange(int(RATE * BEEP)) / RATE
        beep = self.loudness * np.sin(2 * np.pi * PITCHES[self.pitch] * time)
        samples = np.tile(np.concatenate([beep, np.zeros_like(beep)]), self.count)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((samples * 32767).astype("<i2").tobytes())


def make_records(folder: Path, number: int, seed: int = 0) -> Path:
    """Write media and `records.jsonl` with `number` conversations, as determined by the seed."""
    chance = random.Random(seed)
    (folder / "media").mkdir(parents=True, exist_ok=True)
    path = folder / "records.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for index in range(number):
            language = ("en", "ms")[index % 2]
            record = _Conversation(folder, seed, index, language, chance).record()
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


class _Conversation:
    """Two to four turns; each adds media or asks about earlier ones."""

    def __init__(
        self, folder: Path, seed: int, number: int, language: str, chance: random.Random
    ) -> None:
        self.folder, self.number, self.language, self.chance = folder, number, language, chance
        self.name = f"{seed}-{number}"
        self.phrases: Any = LANGUAGES[language]
        self.media: list[dict[str, str]] = []
        self.scenes: list[Scene] = []
        self.sounds: list[Sound] = []
        self.messages: list[dict[str, Any]] = []

    def record(self) -> dict[str, Any]:
        turns: list[Callable[[], None]] = [self.look, self.listen]
        first = self.look if self.number == 0 else self.chance.choice(turns)
        first()
        for _ in range(self.chance.randint(1, 3)):
            choices = [*turns, self.compare] if len(self.scenes) > 1 else turns
            self.chance.choice(choices)()
        return {
            "id": self.name,
            "lang": self.language,
            "messages": self.messages,
            "media": self.media,
        }

    def look(self) -> None:
        scene = Scene(
            self.chance.choice(list(COLOURS)),
            self.chance.choice(SHAPES),
            self.chance.randint(SIZE // 3, 2 * SIZE // 3),
            self.chance.randint(SIZE // 3, 2 * SIZE // 3),
        )
        self.scenes.append(scene)
        part = self._medium("image", ".png", scene.draw)
        question = self.phrases["image"].format(n=len(self.scenes))
        answer = self._say("image_answer", colour=scene.colour, shape=scene.shape)
        self._turn([part, _text(question)], answer[0].upper() + answer[1:])

    def listen(self) -> None:
        sound = Sound(
            self.chance.choice(COUNTS),
            self.chance.choice(list(PITCHES)),
            self.chance.uniform(0.3, 0.8),
        )
        self.sounds.append(sound)
        part = self._medium("audio", ".wav", sound.play)
        question = self.phrases["audio"].format(n=len(self.sounds))
        answer = self._say("audio_answer", count=str(sound.count), pitch=sound.pitch)
        self._turn([_text(question), part], answer)

    def compare(self) -> None:
        a, b = sorted(self.chance.sample(range(len(self.scenes)), 2))
        same = self.scenes[a].colour == self.scenes[b].colour
        question = self.phrases["same"].format(a=a + 1, b=b + 1)
        self._turn([_text(question)], self.phrases["yes" if same else "no"])

    def _say(self, phrase: str, **words: str) -> str:
        known = self.phrases["words"]
        text: str = self.phrases[phrase].format(**{k: known.get(w, w) for k, w in words.items()})
        return text

    def _medium(self, kind: str, suffix: str, write: Callable[[Path], None]) -> dict[str, Any]:
        uri = f"media/{self.name}-{len(self.media)}{suffix}"
        write(self.folder / uri)
        self.media.append({"kind": kind, "uri": uri})
        return {"type": kind, "media": len(self.media) - 1}

    def _turn(self, question: list[dict[str, Any]], answer: str) -> None:
        self.messages.append({"role": "user", "content": question})
        self.messages.append({"role": "assistant", "content": [_text(answer)]})


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
