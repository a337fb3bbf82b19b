"""MuirBench: a question with options about several pictures, which stand in both (2406.09411)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmmodal.authoring.records import Place, Record
from mmmodal_eval.layouts.layout import Layout

__all__ = ["MuirBench"]

MARK = "<image>"


class MuirBench(Layout):
    """`{"idx", "task", "question", "options", "answer": "A", "image_list", "counterpart_idx"}`.

    `<image>` in the question and the options is the place of each picture. A question and its
    counterpart, which cannot be answered, are one cluster.
    """

    name = "muirbench"
    shape = "`idx`, `task`, `question`, `options` and `image_list`"
    narrows = ("vqa",)
    renamed = ("idx", "question", "options", "answer", "image_list")
    tagged = ("task", "image_relation", "image_type")

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a question with options, and a list of pictures."""
        return all(row.get(key) is not None for key in ("question", "options", "image_list"))

    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the question with its pictures."""
        asked = {key: row.get(key) for key in ("question", "options", "answer")}
        pair = sorted(str(row[key]) for key in ("idx", "counterpart_idx") if row.get(key))
        cluster = {"cluster": "+".join(pair)} if len(pair) > 1 else {}
        return {"id": row.get("idx"), "images": row["image_list"], **asked, **cluster}

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row; options that are pictures are named by their numbers."""
        (record,) = super().read(row, place)
        *earlier, answer = record.messages
        expect = answer.expect
        if expect is None or not any(MARK in choice for choice in expect.choices):
            return [record]
        before = str(row["question"]).count(MARK)
        names = tuple(_named(expect.choices, before))
        (letter,) = (part.text for part in answer.content)
        changed = expect.model_copy(update={"choices": names, "references": (letter or "",)})
        last = answer.model_copy(update={"expect": changed})
        return [record.model_copy(update={"messages": (*earlier, last)})]


def _named(choices: Sequence[str], before: int) -> Iterator[str]:
    """Yield choices with `image 3` for the third picture.

    Args:
        choices: the options.
        before: the number of pictures in the question.
    """
    numbers = itertools.count(before + 1)
    for choice in choices:
        head, *rest = choice.split(MARK)
        yield "".join([head, *(f"image {next(numbers)}{text}" for text in rest)])
