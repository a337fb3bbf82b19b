"""BLINK: a question with choices about one to four pictures (2404.12390)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmmodal_eval.layouts.layout import Layout

__all__ = ["Blink"]

IMAGES = ("image_1", "image_2", "image_3", "image_4")


class Blink(Layout):
    """`{"idx", "sub_task", "question", "choices", "answer": "(A)", "image_1": …, "image_2": …}`."""

    name = "blink"
    shape = "`idx`, `sub_task`, `question`, `choices`, and pictures in `image_1` to `image_4`"
    narrows = ("vqa",)
    renamed = ("idx", "question", "choices", "answer", *IMAGES)
    tagged = ("sub_task",)
    kept = ("prompt", "explanation")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a task and the first picture."""
        keys = ("sub_task", "question", "choices", IMAGES[0])
        return all(row.get(key) is not None for key in keys)

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the question with its pictures in front; those that are null are left out."""
        if row.get("answer") == "hidden":
            raise ValueError(
                "its answer is hidden, as those of the test split; use the split `val`"
            )
        asked = {key: row.get(key) for key in ("question", "choices", "answer")}
        images = [row[key] for key in IMAGES if row.get(key) is not None]
        return {"id": row.get("idx"), "images": images, **asked}
