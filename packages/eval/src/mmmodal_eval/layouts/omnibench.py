"""OmniBench: a question with options about a picture and a clip (2409.15272)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

from mmmodal.authoring.parts import Config
from mmmodal_eval.layouts.layout import Layout

__all__ = ["OmniBench", "OmniBenchOptions"]


class OmniBenchOptions(Config):
    """The folders of media under the root."""

    images: str = "mm_data/image"
    """The folder of `image_path`."""

    audios: str = "mm_data/audio"
    """The folder of `audio_path`."""


class OmniBench(Layout):
    """`{"question", "options", "answer", "image_path", "audio_path", "task type"}`.

    The rows of the data set on the Hub hold `image` and `audio` themselves.
    """

    name = "omnibench"
    shape = "`task type`, `audio type`, `question`, `options` and `answer`"
    narrows = ("vqa",)
    Options: ClassVar[type[Config]] = OmniBenchOptions
    options: OmniBenchOptions
    renamed = (
        "index",
        "question",
        "options",
        "answer",
        "image",
        "audio",
        "image_path",
        "audio_path",
    )
    tagged = ("task type", "audio type")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has the two types, and a question with options."""
        return all(row.get(key) is not None for key in (*self.tagged, "question", "options"))

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the question with its media; the picture comes first."""
        folders = {"image": self.options.images, "audio": self.options.audios}
        media = {kind: _medium(row, kind, folder) for kind, folder in folders.items()}
        asked = {key: row.get(key) for key in ("question", "options", "answer")}
        return {"id": row.get("index"), **media, **asked}


def _medium(row: Mapping[str, Any], kind: str, folder: str) -> Any:
    """Return what the row holds, or the path of the file."""
    if row.get(kind) is not None:
        return row[kind]
    path = row.get(f"{kind}_path")
    if not isinstance(path, str) or not path:
        raise ValueError(f"there is neither {kind!r} nor '{kind}_path'; name the {kind}")
    return str(PurePosixPath(folder) / path)
