"""The report's conversations, with their media, the model's answers and the right ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from mmmodal.authoring.media import Audio, Image, read_media
from mmmodal.authoring.reports import Embedding, paragraph, turn_contents
from mmmodal_eval import normalised
from mmmodal_playground.wording import ANSWERS

__all__ = ["Shown", "chat_card", "icon", "language_name", "task_name"]

TASK_NAMES = {
    "image": "One picture",
    "audio": "One clip",
    "images": "Several pictures",
    "audios": "Several clips",
    "image-audio": "Pictures and clips",
    "recall": "Recall",
}
SHOWN: Mapping[str, tuple[Callable[[], Any], str]] = {
    "image": (Image, "coloured shapes on a plain ground"),
    "audio": (Audio, "a spoken phrase"),
}
LANGUAGE_NAMES = {"en": "English", "ms": "Malay"}


@dataclass(frozen=True)
class Shown:
    """A conversation of the report."""

    record: Mapping[str, Any]
    """The record, in the native format."""

    root: Path
    """The folder of its relative media paths."""

    answers: Sequence[str]
    """The model's answers to the user turns."""


@dataclass(frozen=True)
class _Turn:
    """A question with its media, and the answer."""

    parts: Sequence[Mapping[str, Any]]
    answer: str
    expected: str
    scored: bool
    language: str

    @property
    def is_right(self) -> bool:
        return self._normalised(self.answer) == self._normalised(self.expected)

    def _normalised(self, text: str) -> str:
        return normalised(text, self.language)


def task_name(task: str) -> str:
    """Return the title of a task."""
    return TASK_NAMES.get(task, task)


def language_name(code: str) -> str:
    """Return the name of a language."""
    return LANGUAGE_NAMES.get(code, code)


def icon(name: str) -> str:
    """Return an icon of the page; empty for a task without one."""
    if name not in (*TASK_NAMES, "right", "wrong"):
        return ""
    return f'<svg class="icon" aria-hidden="true"><use href="#{name}"/></svg>'


def chat_card(shown: Shown, embedding: Embedding) -> str:
    """Return one conversation as HTML, with its media among those of the page."""
    record = shown.record
    meta = record.get("meta") or {}
    task, code = str(meta.get("task", "")), str(record.get("lang") or "")
    turns = list(_turns(shown))
    right = sum(turn.is_right for turn in turns)
    media = list(_figures(record["media"], code, shown.root, embedding))
    said = "".join(_turn_html(turn, media) for turn in turns)
    return (
        f'<article class="card chat"><header>{icon(task)}'
        f"<h3>{escape(task_name(task))}</h3>"
        f'<span class="tag">{escape(language_name(code))}</span>'
        f'<span class="tally">{right} of {len(turns)} right</span></header>'
        f'<ol lang="{escape(code)}">{said}</ol></article>'
    )


def _turns(shown: Shown) -> Iterator[_Turn]:
    messages = shown.record["messages"]
    asked = [message for message in messages if message["role"] == "user"]
    expected = [_text(message) for message in messages if message["role"] == "assistant"]
    meta = shown.record.get("meta") or {}
    scored = meta.get("scored") or [True] * len(asked)
    code = str(shown.record.get("lang") or "")
    for question, answer, true, counts in zip(asked, shown.answers, expected, scored, strict=True):
        yield _Turn(question["content"], answer, true, bool(counts), code)


def _text(message: Mapping[str, Any]) -> str:
    return "".join(part.get("text") or "" for part in message["content"])


def _turn_html(turn: _Turn, media: Sequence[str]) -> str:
    pieces = [paragraph(p["text"]) if p["type"] == "text" else p["media"] for p in turn.parts]
    return (
        '<li class="asked bubble"><span class="unseen" lang="en">You: </span>'
        f"{turn_contents(pieces, media)}</li>"
        f'<li class="answered {"right" if turn.is_right else "wrong"}">'
        '<span class="unseen" lang="en">The model: </span>'
        f'<div class="bubble"><p dir="auto">{escape(turn.answer) or "<i>nothing</i>"}</p>'
        f"{_correction(turn)}</div>{_verdict(turn)}</li>"
    )


def _verdict(turn: _Turn) -> str:
    word = "right" if turn.is_right else "wrong"
    note = "" if turn.scored else '<span class="note">not scored</span>'
    return f'<p class="verdict" lang="en"><span>{icon(word)}{word}</span>{note}</p>'


def _correction(turn: _Turn) -> str:
    if turn.is_right:
        return ""
    expected = f'<b class="expected" dir="auto">{escape(turn.expected)}</b>'
    return f'<p class="correction"><span lang="en">right answer: </span>{expected}</p>'


def _figures(
    media: Sequence[Mapping[str, str]], code: str, root: Path, embedding: Embedding
) -> Iterator[str]:
    """Yield each medium, with its name in the questions."""
    names = ANSWERS.get(code, ANSWERS["en"])
    for index, medium in enumerate(media):
        kind = medium["kind"]
        number = [other["kind"] for other in media[: index + 1]].count(kind)
        modality, about = SHOWN[kind]
        read = functools.partial(read_media, modality(), medium["uri"], root=root)
        yield embedding.figure(kind, read, names[kind].format(n=number), about=about)
