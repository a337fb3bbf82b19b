"""The ids and labels of a text to learn from: its answers, behind the ids of their prompts."""

from __future__ import annotations

from dataclasses import dataclass

from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.conversation.training_text import LearnedAnswers, TrainingText, Unlearned

__all__ = ["IGNORE", "Labelled", "labelled"]

IGNORE = -100
"""The label of a token without loss."""


@dataclass(frozen=True)
class Labelled:
    """A text to learn from as ids and labels; a medium is one `MEDIUM`."""

    ids: list[int]
    labels: list[int]
    merged: tuple[Unlearned, ...] = ()
    """The answers whose first letters share a token with the end of the prompt, so that the ids of
    the prompt are not those in front of them."""


def labelled(
    written: TrainingText,
    tokens: MarkupTokenizer,
    end: str,
    *,
    anchored: bool,
    answers: LearnedAnswers,
) -> Labelled:
    """Return the ids and labels of a text.

    Args:
        written: the text with at least one answer.
        tokens: the tokenizer.
        end: the token that ends an answer.
        anchored: whether each answer has markup close before it.
        answers: whether answers that share a token with their prompt are learned, too.

    Raises:
        RenderError: the vocabulary has no token for a character of the text.
    """
    text, spans = written.text, written.spans
    ids, spoken = tokens.encode(text, spans, anchored=anchored)
    labels = [IGNORE] * len(ids)
    merged = []
    for number, (start, _), found in zip(_numbers(written), spans, spoken, strict=True):
        first = found.tokens.start
        if found.exact or tokens.encode(text[:start])[0] == ids[:first]:
            labels[found.tokens] = ids[found.tokens]
        elif start == spans[-1][0]:
            ids, labels = _continued(text, start, labels[:first], tokens, end)
        elif answers == "all":
            labels[found.tokens] = ids[found.tokens]
        else:
            merged.append(Unlearned(number, text[:start], text))
    return Labelled(ids, labels, tuple(merged))


def _numbers(written: TrainingText) -> list[int]:
    """Return which answers of the conversation the spans are, from 1."""
    left_out = {answer.number for answer in written.unlearned}
    total = len(written.spans) + len(left_out)
    return [number for number in range(1, total + 1) if number not in left_out]


def _continued(
    text: str, start: int, before: list[int], tokens: MarkupTokenizer, end: str
) -> tuple[list[int], list[int]]:
    """Return ids and labels of a text whose last answer is tokenized apart from its prompt.

    Args:
        text: the text.
        start: where the answer begins, in characters.
        before: the labels of the tokens in front of the one that is shared.
        tokens: the tokenizer.
        end: the token that ends an answer.
    """
    prompt, answer = tokens.encode(text[:start])[0], tokens.encode_on(text[start:])
    end_id = tokens.ids_by_text[end]
    said = answer.index(end_id) + 1 if end_id in answer else len(answer)
    labels = [*before, *[IGNORE] * (len(prompt) - len(before))]
    behind = [IGNORE] * (len(answer) - said)
    return [*prompt, *answer], [*labels, *answer[:said], *behind]
