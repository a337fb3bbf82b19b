"""The conversations of a data set, and the checks of all questions before one is asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmmodal.authoring.parts import ConfigError, MMModalError, RecordError
from mmmodal.authoring.records import Scanned
from mmmodal_eval.cases import Case, Conversation
from mmmodal_eval.contracts import Scorer
from mmmodal_eval.parts import scorer

__all__ = ["checked_scorers", "conversations_of"]

MOST = 20
"""The maximum number of problems that an error lists."""


def conversations_of(
    scanned: Iterable[Scanned], root: Path | None, rows: int | None, *, skip: bool
) -> tuple[list[Conversation], list[RecordError]]:
    """Return the conversations of a data set, and the errors of rows that were left out.

    Args:
        scanned: the records and bad rows.
        root: the folder of relative media paths; None: that of each file.
        rows: the number of conversations to read; None: all.
        skip: whether bad rows are left out.

    Raises:
        RecordError: a row is bad.
    """
    errors: list[RecordError] = []
    found = itertools.islice(_good(scanned, root, errors, skip=skip), rows)
    return list(found), errors


def _good(
    scanned: Iterable[Scanned], root: Path | None, errors: list[RecordError], *, skip: bool
) -> Iterator[Conversation]:
    for item in scanned:
        if item.error is not None:
            if not skip:
                raise item.error
            errors.append(item.error)
        elif item.record is not None:
            yield Conversation(item.record, root or item.folder, item.row.where)


def checked_scorers(
    conversations: Sequence[Conversation], cases: Sequence[Case]
) -> dict[str, Scorer]:
    """Return the scorers of cases, by `Case.scored_by`, if all cases can be scored.

    Raises:
        ConfigError: a scorer is unknown or has a wrong option, or a conversation has nothing to
            score, or a question cannot be scored; it lists all problems.
    """
    problems = list(_without_answer(conversations, cases))
    scorers: dict[str, Scorer] = {}
    for key, same in _grouped(cases).items():
        try:
            scorers[key] = scorer(same[0].scorer, same[0].options)
        except MMModalError as error:
            more = f" ({len(same):,} questions)" if len(same) > 1 else ""
            problems.append(f"{_place(same[0])}: {error}{more}")
            continue
        problems.extend(_unscorable(scorers[key], same))
    if problems:
        rest = len(problems) - MOST
        listed = [*problems[:MOST], *([f"and {rest:,} more"] if rest > 0 else [])]
        raise ConfigError("questions that cannot be scored", listed)
    return scorers


def _grouped(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """Return the cases of each scorer with its options, in the order of the first of them."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.scored_by, []).append(case)
    return found


def _without_answer(conversations: Sequence[Conversation], cases: Sequence[Case]) -> Iterator[str]:
    """Yield what is wrong with conversations that have nothing to score, or empty answers."""
    asked = {id(case.conversation) for case in cases}
    for conversation in conversations:
        left_out = any(m.expect and not m.expect.scored for m in conversation.record.messages)
        if id(conversation) not in asked and not left_out:
            yield f"{conversation.where}: it has no answer to score; add the assistant's turns"
    for case in cases:
        if not any(reference.strip() for reference in case.expected.references):
            reason = "its right answer is empty; write it, or `references` in `expect`"
            yield f"{_place(case)}: {reason}"
    if conversations and not cases:
        yield "no turn is scored; `expect: {scored: false}` leaves out all of them"


def _unscorable(scorer: Scorer, cases: Sequence[Case]) -> Iterator[str]:
    for case in cases:
        try:
            scorer.check(case.expected)
        except (ValueError, MMModalError) as error:
            yield f"{_place(case)}: {error}"


def _place(case: Case) -> str:
    return f"{case.conversation.where}, turn {case.turn + 1}"
