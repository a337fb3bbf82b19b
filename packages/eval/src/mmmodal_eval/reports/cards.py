"""Questions as HTML: media, what was asked before, the answers, and what is right."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mmmodal.authoring.media import LimitSettings, read_media
from mmmodal.authoring.parts import MediaError
from mmmodal.authoring.plugins import registry
from mmmodal.authoring.records import MediaRef, Message
from mmmodal.authoring.reports import Embedding, medium_names, paragraph, turn_contents
from mmmodal_eval.cases import Conversation
from mmmodal_eval.reports.questions import Question, places_of, slices_in, verdict_of
from mmmodal_eval.results import CaseResult

__all__ = ["Cards"]

LONGEST = 1_500
"""The maximum number of characters of a text; the rest is counted."""


MOST_CHIPS = 8
CHIPS = {"lang": "{}", "modality": "{}", "media": "media: {}", "tag": "{}", "turn": "turn {}"}
"""How the slices of a question are written."""


class Cards:
    """The questions of one page."""

    def __init__(
        self,
        conversations: Mapping[tuple[str, str], Conversation],
        embedding: Embedding,
        limits: LimitSettings | None = None,
        said: Mapping[tuple[str, str, int], str] | None = None,
    ) -> None:
        """Begin a page.

        Args:
            conversations: by where they came from and the id of their record; a question of another
                one has no media.
            embedding: the media of the page.
            limits: what media may be; by default the modalities' own limits.
            said: the answers of the only model, by the same and the turn.
        """
        self._conversations = conversations
        self._embedding = embedding
        self._limits = limits
        self._said = said or {}

    def card(self, question: Question) -> str:
        """Return a question as HTML; its texts are escaped."""
        case = question.case
        tags = [CHIPS[key].format(value) for key, value in slices_in(case) if key in CHIPS]
        chips = "".join(
            f'<span class="tag" dir="auto">{escape(_cut(tag, 80))}</span>'
            for tag in (*tags[:MOST_CHIPS], case.scorer)
        )
        inside = json.dumps(places_of(question), ensure_ascii=False)
        answers = "".join(
            _answer(name, answer, several=len(question.answers) > 1)
            for name, answer in question.answers.items()
        )
        return (
            f'<article class="card chat" data-slices="{escape(inside)}"><header>'
            f'<h3 dir="auto">{escape(_cut(case.record))}</h3>{chips}</header>'
            f"<ol>{''.join(self._asked(case))}{answers}{_right(question)}</ol>"
            f"{_controls(question)}</article>"
        )

    def _asked(self, case: CaseResult) -> Iterator[str]:
        """Yield the user's turns up to that of the case, with the answers before it."""
        conversation = self._conversations.get((case.where, case.record))
        if conversation is None:
            kinds = ", ".join(case.modalities)
            told = f'<p class="note">about {escape(kinds)}</p>' if kinds else ""
            yield _bubble("asked", "Asked", paragraph(_cut(case.question), case.lang) + told)
        else:
            yield from self._turns(case, conversation)

    def _turns(self, case: CaseResult, conversation: Conversation) -> Iterator[str]:
        record = conversation.record
        named = zip(record.media, medium_names(ref.kind for ref in record.media), strict=True)
        figures = _Lazy([functools.partial(self._figure, conversation, *each) for each in named])
        turn = -1
        for message in record.messages:
            turn += message.role == "user"
            if message.role == "user":
                yield _bubble("asked", "Asked", _contents(message, record.lang, figures))
                if turn == case.turn:
                    return
            else:
                said = self._said.get((case.where, case.record, turn), message.text)
                kind = "told" if message.role == "system" else "before"
                yield _bubble(kind, message.role, paragraph(_cut(said), record.lang))

    def _figure(self, conversation: Conversation, ref: MediaRef, name: str) -> str:
        read = functools.partial(self._read, conversation, ref)
        return self._embedding.figure(ref.kind, read, name)

    def _read(self, conversation: Conversation, ref: MediaRef) -> Any:
        found = registry().get("modalities", ref.kind)
        if found is None:
            raise MediaError("unknown", ref.uri, f"no installed package reads {ref.kind}")
        modality = found.part()
        limits = self._limits.of(modality) if self._limits else None
        return read_media(modality, ref.address, root=conversation.root, limits=limits)


class _Lazy(Sequence[str]):
    """Figures that are made when they are shown, so that a page holds no others."""

    def __init__(self, made: Sequence[Any]) -> None:
        self._made = made

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, index: Any) -> Any:
        return self._made[index]()


def _contents(message: Message, lang: str | None, figures: Sequence[str]) -> str:
    pieces: list[str | int] = [
        paragraph(_cut(part.text or ""), lang) if part.media is None else part.media
        for part in message.content
    ]
    return turn_contents(pieces, figures)


def _bubble(kind: str, speaker: str, body: str) -> str:
    return (
        f'<li class="bubble {kind}"><span class="unseen" lang="en">{escape(speaker)}: </span>'
        f"{body}</li>"
    )


def _answer(name: str, case: CaseResult, *, several: bool) -> str:
    kind, word = verdict_of(case, case)
    who = f'<b class="who" dir="auto">{escape(name)}</b>' if several else ""
    text = paragraph(_cut(case.answer), case.lang) if case.answer else _nothing(case)
    outcome = "" if case.outcome in ("scored", word) else f"<span>{escape(case.outcome)}</span>"
    notes = [case.note, f"read as {case.read}" if case.read and case.choices else ""]
    note = "; ".join(filter(None, notes))
    told = f'<p class="note" dir="auto">{escape(_cut(note))}</p>' if note else ""
    return (
        f'<li class="answered {kind}"><span class="unseen" lang="en">Answer of {escape(name)}: '
        f'</span><div class="bubble">{who}{text}{told}</div>'
        f'<p class="verdict" lang="en"><span>{_sign(kind)}{escape(word)}</span>{outcome}</p></li>'
    )


def _nothing(case: CaseResult) -> str:
    return f"<p><i>{'no answer' if case.answer is None else 'empty'}</i></p>"


def _sign(kind: str) -> str:
    if kind not in ("right", "wrong"):
        return ""
    return f'<svg class="icon" aria-hidden="true"><use href="#{kind}"/></svg>'


def _right(question: Question) -> str:
    """Return the right answers, if a model gave another one, and the choices."""
    case = question.case
    if all(verdict_of(each, each)[0] == "right" for each in question.answers.values()):
        return ""
    references = " · ".join(_cut(each) for each in case.references[:8])
    choices = ""
    if case.choices:
        listed = "".join(f'<li dir="auto">{escape(_cut(each))}</li>' for each in case.choices[:26])
        choices = f'<ol class="choices" type="A">{listed}</ol>'
    return (
        '<li class="expected"><span lang="en">right answer: </span>'
        f'<b dir="auto">{escape(references)}</b>{choices}</li>'
    )


def _controls(question: Question) -> str:
    """Return what each model answered under each control."""
    rows = "".join(
        f'<tr><th scope="row">{escape(control)}</th>{_model(name, question)}'
        f'<td dir="auto">{escape(_cut(result.answer or "–", 200))}</td>'
        f"<td>{escape(verdict_of(result, case)[1])}</td></tr>"
        for name, case in question.answers.items()
        for control, result in case.controls.items()
    )
    if not rows:
        return ""
    summary = "<summary>Asked again, with something exchanged or left out</summary>"
    return f'<details class="again">{summary}<table><tbody>{rows}</tbody></table></details>'


def _model(name: str, question: Question) -> str:
    return f'<td dir="auto">{escape(name)}</td>' if len(question.answers) > 1 else ""


def _cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
