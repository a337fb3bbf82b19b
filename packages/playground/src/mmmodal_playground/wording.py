"""The wordings of questions and answers in dialogues, in English and Malay."""

from __future__ import annotations

import random
from collections.abc import Mapping

__all__ = ["ANSWERS", "QUESTIONS", "ask", "medium_name"]

QUESTIONS = {
    "en": {
        "describe": ("What is in image {n}?", "What do you see in image {n}?"),
        "colour": ("What colour is the {shape} in image {n}?",),
        "shape": ("Which shape is {colour} in image {n}?",),
        "shows": ("Is there a {shape} in image {n}?", "Does image {n} show a {shape}?"),
        "which-image": ("Which image shows a {thing}?",),
        "transcribe": ("What is said in audio {n}?", "What do you hear in audio {n}?"),
        "named-colour": ("Which colour is named in audio {n}?",),
        "named-shape": ("Which shape is named in audio {n}?",),
        "names": ("Is a {shape} named in audio {n}?", "Does audio {n} name a {shape}?"),
        "which-audio": ("Which audio names a {thing}?",),
        "relate": ("What is related between {a} and {b}?",),
        "same-colour": ("Do {a} and {b} have the same colour?",),
        "same-shape": ("Do {a} and {b} have the same shape?",),
    },
    "ms": {
        "describe": ("Apa yang ada dalam gambar {n}?", "Apa yang anda lihat dalam gambar {n}?"),
        "colour": ("Apakah warna {shape} dalam gambar {n}?",),
        "shape": ("Bentuk apakah yang berwarna {colour} dalam gambar {n}?",),
        "shows": ("Adakah {shape} dalam gambar {n}?", "Adakah gambar {n} menunjukkan {shape}?"),
        "which-image": ("Gambar manakah yang menunjukkan {thing}?",),
        "transcribe": ("Apa yang dikata dalam audio {n}?", "Apa yang anda dengar dalam audio {n}?"),
        "named-colour": ("Warna apakah yang disebut dalam audio {n}?",),
        "named-shape": ("Bentuk apakah yang disebut dalam audio {n}?",),
        "names": ("Adakah {shape} disebut dalam audio {n}?", "Adakah audio {n} menyebut {shape}?"),
        "which-audio": ("Audio manakah yang menyebut {thing}?",),
        "relate": ("Apakah yang berkaitan antara {a} dan {b}?",),
        "same-colour": ("Adakah {a} dan {b} sama warna?",),
        "same-shape": ("Adakah {a} dan {b} sama bentuk?",),
    },
}
"""Each kind of question in several wordings."""

ANSWERS = {
    "en": {
        "yes": "yes",
        "no": "no",
        "image": "image {n}",
        "audio": "audio {n}",
        "verdict": "{a} {left} and {b} {right}: {verdict}",
        "both": "the same colour and shape",
        "colour": "the same colour",
        "shape": "the same shape",
        "nothing": "nothing",
    },
    "ms": {
        "yes": "ya",
        "no": "tidak",
        "image": "gambar {n}",
        "audio": "audio {n}",
        "verdict": "{a} {left} dan {b} {right}: {verdict}",
        "both": "warna dan bentuk yang sama",
        "colour": "warna yang sama",
        "shape": "bentuk yang sama",
        "nothing": "tiada",
    },
}
"""The fixed parts of answers.

A comparison first names the thing of each medium, and then concludes: in this order a small model
has generated each step that the next one needs.
"""


def ask(
    kind: str, words: Mapping[str, str], language: str, chance: random.Random, **more: object
) -> str:
    """Return a question of a kind; one in five is typed in haste, without capitals and `?`.

    Args:
        kind: one of `QUESTIONS`.
        words: the variables of its wording.
        language: `en` or `ms`.
        chance: selects a wording.
        more: the variables for the media.
    """
    text = chance.choice(QUESTIONS[language][kind]).format(**words, **more)
    return text.lower().rstrip("?") if chance.random() < 0.2 else text


def medium_name(language: str, kind: str, number: int) -> str:
    """Return "image 1", "gambar 1"."""
    return ANSWERS[language][kind].format(n=number)
