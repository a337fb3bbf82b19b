"""The ids and labels of a text to learn from, where answers share tokens with their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmmodal.conversation.locating import IGNORE, FoundSpan
from mmmodal.conversation.tokens import MarkupTokenizer
from mmmodal.conversation.training_text import LearnedAnswers, TrainingText, Unlearned

__all__ = ["Labelled", "labelled"]


@dataclass(frozen=True)
class Labelled:
    """A text to learn from as ids and labels; a medium is one `MEDIUM`."""

    ids: list[int]
    labels: list[int]
    unlearned: tuple[Unlearned, ...]
    """The answers without labels, with texts as the template alone writes them."""


def labelled(
    written: TrainingText,
    ids: list[int],
    spoken: Sequence[FoundSpan],
    tokens: MarkupTokenizer,
    *,
    end: str,
    answers: LearnedAnswers,
    media: Mapping[int, str],
) -> Labelled:
    """Return the ids and labels of a text, so that those of prompts stand in front of answers.

    Args:
        written: the text with at least one answer.
        ids: the ids of the text.
        spoken: the tokens of its answers.
        tokens: the tokenizer.
        end: the token that ends an answer.
        answers: whether answers that share a token with their prompt are learned, too.
        media: the text to show for each medium, by its index.

    Raises:
        RenderError: the vocabulary has no token for a character of the text.
    """
    text, spans = written.text, written.spans
    labels = [IGNORE] * len(ids)
    unlearned = list(written.unlearned)
    for number, (start, _), found in zip(_numbers(written), spans, spoken, strict=True):
        first = found.tokens.start
        if found.exact or tokens.encode(text[:start])[0] == ids[:first]:
            labels[found.tokens] = ids[found.tokens]
        elif start == spans[-1][0]:
            ids, labels = _continued(text, start, labels[:first], tokens, end)
        elif answers == "all":
            labels[found.tokens] = ids[found.tokens]
        else:
            unlearned.append(Unlearned(number, text[:start], text))
    shown = [
        Unlearned(each.number, tokens.plain(each.asked, media), tokens.plain(each.written, media))
        for each in unlearned
    ]
    return Labelled(ids, labels, tuple(shown))


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
