"""Data sets of questions for `mmmodal evaluate`: pictures, clips, several turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from media_files import encode_picture, encode_sound
from worlds import clip, picture, write_lines

__all__ = ["conversation", "write_questions"]


def conversation(
    name: str, *media: tuple[str, str], turns: int = 2, answer: str = "red", **about: Any
) -> dict[str, Any]:
    """Return the row of a conversation of several turns, the first of which shows all media."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        shown = [{"type": kind, "media": index} for index, (kind, _) in enumerate(media)]
        asked = {"type": "text", "text": f"{name}: what is {turn}?"}
        messages.append({"role": "user", "content": [*(shown if turn == 0 else []), asked]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    refs = [{"kind": kind, "uri": uri} for kind, uri in media]
    return {"id": name, "messages": messages, "media": refs, **about}


def write_questions(folder: Path) -> Path:
    """Write eight conversations about four pictures and four clips; return their file."""
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encode_picture(picture(number), "PNG"))
        (folder / f"{number}.wav").write_bytes(encode_sound(clip(number).samples))
    rows = [conversation(f"picture {n}", ("image", f"{n}.png"), lang="en") for n in range(3)]
    rows += [conversation(f"clip {n}", ("audio", f"{n}.wav"), lang="ms") for n in range(3)]
    both = conversation("both", ("image", "3.png"), ("audio", "3.wav"), turns=3)
    return write_lines(folder / "rows.jsonl", [*rows, both, conversation("text", turns=1)])
