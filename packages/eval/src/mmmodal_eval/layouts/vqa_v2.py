"""VQA v2 and what is published like it: a question with the answers of several people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mmmodal.authoring.parts import Config
from mmmodal_eval.layouts.layout import Layout

__all__ = ["VQAv2", "VQAv2Options"]


class VQAv2Options(Config):
    """Where pictures are that rows name by a number."""

    image: str | None = None
    """A template of the picture's path, as `val2014/COCO_val2014_{image_id:012d}.jpg`, for rows
    without `image`."""


class VQAv2(Layout):
    """`{"question_id", "image_id", "question", "answers": [{"answer", "answer_id"}, …]}`.

    The commonest answer is learned; all are references of `consensus`, the accuracy of VQA.
    Questions about the same picture are one cluster.
    """

    name = "vqa-v2"
    shape = "`question_id`, `image_id` and `question`, with `answers` of several people"
    structured = ("answers",)
    narrows = ("vqa",)
    Options: ClassVar[type[Config]] = VQAv2Options
    options: VQAv2Options
    renamed = ("question", "image")
    tagged = ("question_type", "answer_type")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has the numbers of VQA, and a list of answers."""
        numbered = all(row.get(key) is not None for key in ("question_id", "image_id", "question"))
        return numbered and isinstance(row.get("answers"), list)

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the question with its picture."""
        return {
            "id": row.get("question_id"),
            "image": self._image(row),
            "question": row.get("question"),
            "cluster": str(row.get("image_id")),
            "expect": {"scorer": "consensus"},
        }

    def _image(self, row: Mapping[str, Any]) -> Any:
        """Return the picture of a row.

        Raises:
            ValueError: there is none, or the template does not fit the row.
        """
        if row.get("image") is not None:
            return row["image"]
        if self.options.image is None:
            raise ValueError(
                "its picture is named by 'image_id' alone; tell its path as --set "
                "image='COCO_val2014_{image_id:012d}.jpg'"
            )
        try:
            return self.options.image.format_map(row)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"the template {self.options.image!r:.80}: {error!r:.60}") from None
