"""What a chat template writes otherwise in finished conversations than in their prompts.

A template is tried on a few conversations when it is first seen. Each kind of difference is told
once, with both texts and what follows from it.
"""

from __future__ import annotations

import contextlib
import datetime
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmmodal.contracts.record import Message, text_message
from mmmodal.conversation.rendering import Rendered, Renderer
from mmmodal.conversation.template import date_forms
from mmmodal.conversation.training_text import holds
from mmmodal.conversation.turns import common_start
from mmmodal.errors import RenderError, TemplateWarning

__all__ = ["Difference", "differences", "row_differences", "tell", "tell_unlearned"]

SYSTEM = text_message("system", "SYSTEM TEXT")
FIRST = (text_message("user", "QUESTION 1"), text_message("assistant", "ANSWER 1"))
SECOND = (text_message("user", "QUESTION 2"), text_message("assistant", "ANSWER 2"))
THOUGHT = text_message("assistant", "<think>\nTHOUGHT\n</think>\n\nANSWER 1")
PROBES = {
    "a question and its answer": FIRST,
    "a system text": (SYSTEM, *FIRST),
    "several answers": (*FIRST, *SECOND),
    "a system text and several answers": (SYSTEM, *FIRST, *SECOND),
    "a thought": (FIRST[0], THOUGHT),
    "several answers with thoughts": (FIRST[0], THOUGHT, *SECOND),
}
"""The conversations on which a template is tried, by what is in them."""

SHOWN = 60  # characters of a text
BEFORE = 25  # of them in front of the first difference


@dataclass(frozen=True)
class Difference:
    """A difference between what inference sends and what a finished conversation has there."""

    kind: str
    """prompt, history, system or date."""

    what: str
    asked: str
    written: str
    effect: str
    """What follows from it for training."""

    def __str__(self) -> str:
        return (
            f"{self.what}: inference has {self.asked}, a finished conversation {self.written}; "
            f"{self.effect}"
        )


def differences(renderer: Renderer) -> list[Difference]:
    """Return the differences of a template, at most one of each kind."""
    found: dict[str, Difference] = {}
    for name, messages in PROBES.items():
        with contextlib.suppress(RenderError):  # rows that it refuses are refused by name
            for difference in _of(renderer, name, messages):
                found.setdefault(difference.kind, difference)
    with contextlib.suppress(RenderError):
        found |= {each.kind: each for each in _dated(renderer)}
    return list(found.values())


def tell(found: Iterable[Difference]) -> None:
    """Warn of each difference."""
    for difference in found:
        warnings.warn(TemplateWarning(str(difference)), stacklevel=2)


def tell_unlearned(rendered: Rendered, where: str) -> None:
    """Warn of a conversation whose answers are not all learned."""
    first = rendered.unlearned[0]
    asked, written = _contrast(first.asked, first.written)
    reason = (
        f"{len(rendered.unlearned)} of its answers are not learned, since inference has {asked} "
        f"where the conversation has {written}; `mmmodal data check --strict` names all such rows"
    )
    warnings.warn(TemplateWarning(f"{where or 'conversation'}: {reason}"), stacklevel=4)


def row_differences(
    renderer: Renderer, messages: Sequence[Message], media: int = 0
) -> Iterator[str]:
    """Yield what is lost of one conversation with `media` media: answers, system text.

    Raises:
        RenderError: it cannot be rendered.
    """
    for answer in renderer.render(messages, [1] * media).unlearned:
        asked, written = _contrast(answer.asked, answer.written)
        yield (
            f"answer {answer.number} is not learned, since the chat template writes it otherwise "
            f"in the history of later answers: inference has {asked}, the conversation {written}"
        )
    if _loses_system(renderer, messages):
        yield "the chat template leaves out the system text; move it into the first question"


def _of(renderer: Renderer, name: str, messages: Sequence[Message]) -> Iterator[Difference]:
    template = f"the chat template of {renderer.origin}"
    written = renderer.training_text(messages)
    if written.joined:
        asked = renderer.text(messages[:-1], add_generation_prompt=True)
        effect = "the last answer is learned behind its prompt"
        what = f"{template} writes conversations with {name} otherwise than their prompts"
        yield Difference("prompt", what, *_contrast(asked, renderer.text(messages)), effect)
    for answer in written.unlearned[:1]:
        effect = (
            "such answers in front of the last one are not learned, unless a recipe says "
            "answers=all"
        )
        what = f"{template} writes the history of conversations with {name} otherwise"
        yield Difference("history", what, *_contrast(answer.asked, answer.written), effect)
    if _loses_system(renderer, messages):
        effect = "the model never sees it; move it into the first question"
        what = f"{template} leaves out the system text"
        texts = (repr(renderer.text(messages[:-1], add_generation_prompt=True)[:SHOWN]),) * 2
        yield Difference("system", what, *texts, effect)


def _loses_system(renderer: Renderer, messages: Sequence[Message]) -> bool:
    system = [part.text or "" for m in messages if m.role == "system" for part in m.content]
    if not system:
        return False
    media = sum(part.text is None for message in messages for part in message.content)
    text = renderer.plain(renderer.training_text(messages).text, [""] * media)
    return not all(holds(text, each) for each in system)


def _dated(renderer: Renderer) -> Iterator[Difference]:
    """Yield the difference of a template that writes the date."""
    text = renderer.text([text_message("user", "QUESTION")], add_generation_prompt=True)
    now = datetime.datetime.now()
    for form in date_forms(renderer.tokenizer.get_chat_template()):
        today, later = now.strftime(form), now.replace(year=now.year + 4).strftime(form)
        if today != later and today in text:
            effect = "rows hold the date of their training; a variable of the template can fix it"
            what = f"the chat template of {renderer.origin} writes the date"
            yield Difference("date", what, *_contrast(text.replace(today, later), text), effect)


def _contrast(asked: str, written: str) -> tuple[str, str]:
    """Return both texts from shortly before their first difference, quoted."""
    same = len(common_start([asked, written]))
    start = max(0, same - BEFORE)
    before = "…" if start else ""
    return tuple(  # type: ignore[return-value]
        repr(before + text[start : start + SHOWN]) for text in (asked, written)
    )
