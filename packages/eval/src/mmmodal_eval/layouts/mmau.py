"""MMAU: a question with choices about a clip (2410.19168)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmmodal_eval.layouts.layout import Layout

__all__ = ["MMAU"]


class MMAU(Layout):
    """`{"id", "audio_id": path, "question", "choices", "answer", "task", "sub-category"}`.

    The rows of data sets on the Hub hold `audio` themselves.
    """

    name = "mmau"
    shape = "`audio_id`, `question`, `choices`, `answer`, `task`, `sub-category`"
    narrows = ("vqa",)
    renamed = ("audio_id", "audio", "question", "choices", "answer")
    tagged = ("task", "category", "sub-category", "difficulty")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has the categories of MMAU, and a question with choices."""
        return all(row.get(key) is not None for key in ("sub-category", "question", "choices"))

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the question with its clip."""
        clip = row.get("audio") if row.get("audio") is not None else row.get("audio_id")
        if clip is None:
            raise ValueError("there is neither 'audio_id' nor 'audio'; name the clip")
        if not row.get("answer"):
            raise ValueError("its answer is hidden, as those of the split `test`; use `test-mini`")
        return {"audio": clip, **{key: row[key] for key in ("question", "choices", "answer")}}
