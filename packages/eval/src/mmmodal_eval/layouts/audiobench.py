"""AudioBench: an instruction about a clip, perhaps with choices (2406.16020)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmmodal.authoring.parts import Config
from mmmodal.authoring.records import addresses
from mmmodal_eval.layouts.layout import Layout
from mmmodal_eval.scorers.choices import LETTERS, Choices

__all__ = ["AudioBench", "AudioBenchOptions"]

LABEL = re.compile(r"(?:^|(?<=\s))\(([A-Z])\)\s*")
"""A letter in front of a choice, where all choices are one text."""

PARTS = ("context", "instruction", "answer")


class AudioBenchOptions(Config):
    """What rows without an instruction are asked."""

    question: str = "What is said?"
    """The instruction of rows of recognition, which have none of their own."""


class AudioBench(Layout):
    """`{"context": clip, "instruction", "answer", "choices", "other_attributes"}`.

    Its older rows have `{"text", "audio"}` under each of the first three.
    """

    name = "audiobench"
    shape = "`context` with a clip, `instruction`, `answer`, and perhaps `choices`"
    structured = ("other_attributes",)
    narrows = ("paper",)
    Options: ClassVar[type[Config]] = AudioBenchOptions
    options: AudioBenchOptions
    renamed = (*PARTS, "choices")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a clip in `context`, and an answer."""
        named = "instruction" in row and row.get("answer") is not None
        return named and "conversations" not in row and _is_clip(row.get("context"))

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the instruction about the clip; one that is a clip itself comes behind it."""
        context, instruction, answer = (row.get(key) for key in PARTS)
        asked = _text(instruction) or self.options.question
        clips = [each for each in (_audio(context), _audio(instruction)) if each is not None]
        read = {"audios": clips, "question": asked, "answer": _text(answer)}
        if said := _text(context):
            read["question"] = f"{said}\n{asked}"
        if (choices := _choices(row.get("choices"))) is None:
            return read
        index = Choices(choices).named(_text(answer))
        if index is None:
            raise ValueError(f"the answer {_text(answer)!r:.60} is none of the choices")
        return read | {"choices": choices, "answer": LETTERS[index]}


def _is_clip(value: Any) -> bool:
    """Return whether a value is a medium, or has one under `audio`."""
    found = _audio(value)
    if found is None or isinstance(found, str):
        return found is not None
    try:
        return bool(addresses(found, "audio"))
    except ValueError:
        return False


def _audio(value: Any) -> Any:
    """Return the clip of a value: under `audio`, or the value itself unless it is a text."""
    if isinstance(value, Mapping) and ("audio" in value or "text" in value):
        return value.get("audio")
    return None if isinstance(value, str) else value


def _text(value: Any) -> str:
    """Return the text of a value, or under its `text`."""
    found = value.get("text") if isinstance(value, Mapping) else value
    return found.strip() if isinstance(found, str) else ""


def _choices(value: Any) -> Sequence[str] | None:
    """Return the choices of a list, or of one text that letters them; None without any.

    Raises:
        ValueError: the text does not letter them.
    """
    if value is None or value == "" or value == []:
        return None
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    _, *pieces = LABEL.split(str(value))
    letters, texts = "".join(pieces[::2]), [text.strip() for text in pieces[1::2]]
    if len(letters) < 2 or not LETTERS.startswith(letters):
        raise ValueError("'choices' must be a list, or a text such as '(A) … (B) …'")
    return texts
