"""Tasks of lmms-eval about records of ours; a document holds one as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

__all__ = ["choices", "gold", "messages", "rounds", "score", "target", "text", "visuals"]


def messages(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages up to the last question, answers among them."""
    record = json.loads(document["record"])
    return [message_of(message, record) for message in record["messages"][:-1]]


def rounds(
    document: dict[str, Any],
    round_idx: int | None = None,
    previous_output: list[str] | None = None,
    previous_round_info: Any = None,
) -> Any:
    """Return the messages up to a question, with the answers of the model."""
    record = json.loads(document["record"])
    said = previous_output or []
    told: list[dict[str, Any]] = []
    asked = 0
    for message in record["messages"]:
        if message["role"] == "assistant":
            answer = {"type": "text", "text": said[asked - 1]}
            told.append({"role": "assistant", "content": [answer]})
            continue
        told.append(message_of(message, record))
        asked += message["role"] == "user"
        if asked > len(said):
            break
    if round_idx is None:
        return told
    assert previous_round_info == (round_idx - 1 or None)
    is_over = round_idx == sum(each["role"] == "user" for each in record["messages"])
    return (None if is_over else told), is_over, said, round_idx


def visuals(document: dict[str, Any]) -> list[Any]:
    """Return the media of a record's first question."""
    record = json.loads(document["record"])
    parts = [part for part in record["messages"][0]["content"] if part["type"] != "text"]
    return [medium(record["media"][part["media"]]) for part in parts]


def text(document: dict[str, Any]) -> str:
    """Return the text of a record's first question."""
    content = json.loads(document["record"])["messages"][0]["content"]
    return "".join(part.get("text") or "" for part in content)


def choices(document: dict[str, Any]) -> list[str]:
    """Return the answers to choose from."""
    return list(document["choices"])


def target(document: dict[str, Any]) -> Any:
    """Return the last answer of a record."""
    return json.loads(document["record"])["messages"][-1]["content"][0]["text"]


def gold(document: dict[str, Any]) -> int:
    """Return the number of the choice that counts as right."""
    return int(document["gold"])


def score(document: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Return the number of results, as something must be measured."""
    return {"results": float(len(results))}


def message_of(message: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    content = []
    for part in message["content"]:
        if part["type"] == "text":
            content.append({"type": "text", "text": part["text"]})
        else:
            value = medium(record["media"][part["media"]])
            content.append({"type": part["type"], "url": value})
    return {"role": message["role"], "content": content}


def medium(given: dict[str, Any]) -> Any:
    """Return a picture as Pillow's; sound as numbers, or of every other record as a path."""
    if given["kind"] == "image":
        return Image.open(given["uri"])
    if int(Path(given["uri"]).stem.split("-")[-2]) // 2 % 2:
        return given["uri"]
    samples, rate = soundfile.read(given["uri"], dtype="float32")
    return {"array": np.asarray(samples), "sampling_rate": rate}
