"""Questions about media: `image`, `question` and `answer`, also with choices or several answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal

from mmmodal.config import Config
from mmmodal.contracts.format import Place
from mmmodal.contracts.record import Record
from mmmodal.errors import RecordError
from mmmodal.records.beside import read_listed
from mmmodal.records.exchange import ExchangeFormat, media_of, text_of
from mmmodal.records.inline import Turn
from mmmodal.records.remainder import spoken
from mmmodal.records.wording import with_choices

__all__ = ["VQA"]

QUESTION = "question"
COMMONEST = "multiple_choice_answer"
"""The key of the commonest of `answers`, in VQA's own rows."""

ANSWERS = ("answer", COMMONEST, "answers")
CHOICES = ("choices", "options")


class VQAOptions(Config):
    """What is learned of several answers."""

    answers: Literal["common", "first"] = "common"
    """Of several answers to a question, learn the one that most people gave, or the first."""


class VQA(ExchangeFormat):
    """`{"image": path, "question": text, "answer": text}`."""

    name = "vqa"
    shape = "`question` and `answer` or `answers`, with `image`, `audio` … and perhaps `choices`"
    Options: ClassVar[type[Config]] = VQAOptions
    options: VQAOptions

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row has a question, an answer and no turns."""
        given = [key for key, value in row.items() if value is not None]
        answered = any(key in given for key in ANSWERS)
        return isinstance(row.get(QUESTION), str) and answered and not spoken(given)

    def keys(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of question, answer and choices; a list of answers is kept in `meta`."""
        answer = [key for key in [_given(row)] if not isinstance(row.get(key), list | tuple)]
        return (QUESTION, *answer, *(key for key in CHOICES if row.get(key) is not None))

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row."""
        known, _ = self.opened(row, place)
        try:
            question, answer, expect = self._texts(row, known.lang)
        except ValueError as error:
            raise RecordError(place.where, str(error)) from None
        turns = [
            Turn("user", question, repr(QUESTION)),
            Turn("assistant", answer, repr(ANSWERS[0])),
        ]
        values = read_listed(turns, media_of(row, place.where), place.where)
        return [known.record(place, values, expect)]

    def _texts(self, row: Mapping[str, Any], lang: str | None) -> tuple[str, str, dict[str, Any]]:
        """Return question and answer of a row, and how the answer is scored."""
        question = row[QUESTION] if isinstance(row.get(QUESTION), str) else ""
        if not question.strip():
            raise ValueError("'question' must be a text that is not empty")
        given = _given(row)
        answer = row.get(given)
        texts = _several(row, given)
        if isinstance(answer, list | tuple):
            answer = _one(texts, self.options.answers)
        if any(row.get(key) is not None for key in CHOICES):
            _, choices = text_of(row, CHOICES)
            if not isinstance(choices, list | tuple):
                raise ValueError("the choices must be a list")
            return with_choices(question, choices, answer, lang)
        if isinstance(answer, bool) or not isinstance(answer, str | int | float):
            raise ValueError(f"{given!r} must be a text, or a list of texts")
        return question, str(answer), {"references": texts} if len(texts) > 1 else {}


def _given(row: Mapping[str, Any]) -> str:
    """Return the key of the answer that is learned."""
    return next((key for key in ANSWERS if row.get(key) not in (None, "")), ANSWERS[0])


def _several(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return all answers, each a text or `{"answer": text}` of a list; none without a list.

    Args:
        row: the row.
        key: that of the answer that is learned.

    Raises:
        ValueError: the list is what is learned, and holds something else.
    """
    # Beside `answer`, `answers` may be anything: what there is to choose from, for example.
    given = row.get(ANSWERS[-1]) if key == COMMONEST else row.get(key)
    if not isinstance(given, list | tuple):
        return ()
    texts: list[Any] = [each.get("answer") if isinstance(each, Mapping) else each for each in given]
    if texts and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    if key == COMMONEST:
        return ()
    raise ValueError(f"{key!r} must be a list of texts that is not empty")


def _one(texts: Sequence[str], which: str) -> str:
    """Return the answer that is learned of several."""
    common = Counter(texts).most_common(1)[0][0]  # of equals the first
    return str(common if which == "common" else texts[0])
