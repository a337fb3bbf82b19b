"""Scores of answers: what each question came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmmodal.authoring.parts import one_line
from mmmodal_eval.answers.respondent import Reply
from mmmodal_eval.cases import Case
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.results import CaseResult, ControlResult, Outcome

__all__ = ["Scored", "as_control", "as_result", "scored"]


@dataclass(frozen=True)
class Scored:
    """What one question came to."""

    case: Case
    answer: str | None
    outcome: Outcome
    score: Score | None
    note: str


def scored(
    cases: Sequence[Case], replies: Sequence[Reply], scorers: Mapping[str, Scorer]
) -> list[Scored]:
    """Return what each case came to.

    Args:
        cases: the questions.
        replies: the reply to each.
        scorers: the scorers by `Case.scored_by`.
    """
    places: dict[str, list[int]] = {}
    for place, (case, reply) in enumerate(zip(cases, replies, strict=True)):
        if not reply.error:
            places.setdefault(case.scored_by, []).append(place)
    found: dict[int, Score | Exception] = {}
    for key, some in places.items():
        asked = [(replies[place].text, _expected(cases[place], replies[place])) for place in some]
        found |= zip(some, scorers[key].score_all(asked), strict=True)
    return [
        _scored(case, reply, found.get(place))
        for place, (case, reply) in enumerate(zip(cases, replies, strict=True))
    ]


def _expected(case: Case, reply: Reply) -> Expected:
    return replace(case.expected, likelihoods=reply.likelihoods)


def _scored(case: Case, reply: Reply, found: Score | Exception | None) -> Scored:
    if reply.error:
        return Scored(case, None, "failed", None, reply.error)
    if not isinstance(found, Score):
        return Scored(case, reply.text, "unscored", None, one_line(found or "it has no score"))
    notes = [found.note, _left_out(reply.left_out)]
    return Scored(case, reply.text, _outcome(reply), found, "; ".join(filter(None, notes)))


def _outcome(reply: Reply) -> Outcome:
    if not reply.text.strip():
        return "empty"
    return "scored" if reply.is_whole else "cut off"


def _left_out(turns: int) -> str:
    return f"the oldest {turns:,} turns did not fit into the prompt" if turns else ""


def as_control(scored: Scored) -> ControlResult:
    """Return what a question came to under a control."""
    return ControlResult(
        answer=scored.answer,
        outcome=scored.outcome,
        counts=scored.score.counts if scored.score else None,
        note=scored.note,
    )


def as_result(scored: Scored, digest: str, controls: Mapping[str, ControlResult]) -> CaseResult:
    """Return the line of `cases.jsonl` of a question."""
    case = scored.case
    record, expected = case.conversation.record, case.expected
    return CaseResult(
        record=record.id,
        turn=case.turn,
        where=case.conversation.where,
        scorer=case.scorer,
        options=dict(case.options),
        cluster=case.cluster,
        lang=record.lang,
        modalities=case.modalities,
        media=case.media,
        tags=case.tags,
        question=expected.question,
        references=expected.references,
        choices=expected.choices,
        answer=scored.answer,
        outcome=scored.outcome,
        counts=scored.score.counts if scored.score else None,
        read=scored.score.read if scored.score else None,
        note=scored.note,
        digest=digest,
        controls=dict(controls),
    )
