"""Which choice was expected, and which one was read from the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from mmmodal_eval.comparing.evaluations import Evaluation
from mmmodal_eval.results import CaseResult
from mmmodal_eval.scorers.choices import Choices
from mmmodal_eval.statistics.tables import is_counted

__all__ = ["confusions"]

UNREAD = "none"
"""The column of answers from which no choice was read."""

Counts = Counter[tuple[str, str]]


def confusions(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Yield a matrix for each model, scorer and number of choices; none if there are no choices."""
    for evaluation in evaluations:
        for (scorer, number), cases in _groups(evaluation.cases).items():
            name = f"{evaluation.results.name}, " if len(evaluations) > 1 else ""
            title = f"{name}{scorer}: {len(cases):,} questions with {number} choices"
            yield _matrix(title, cases)


def _groups(cases: Iterable[CaseResult]) -> dict[tuple[str, int], list[CaseResult]]:
    """Return the scored cases whose answers were read as a choice."""
    groups: dict[tuple[str, int], list[CaseResult]] = {}
    for case in cases:
        if case.choices and is_counted(case) and _reads_choices(case):
            groups.setdefault((case.scorer, len(case.choices)), []).append(case)
    return groups


def _reads_choices(case: CaseResult) -> bool:
    return case.read is None or case.read in Choices(case.choices, case.lang).letters


def _matrix(title: str, cases: Sequence[CaseResult]) -> str:
    letters = Choices(cases[0].choices).letters
    counts: Counts = Counter((_expected(case), case.read or UNREAD) for case in cases)
    same = len({case.choices for case in cases}) == 1
    texts = dict(zip(letters, Choices(cases[0].choices).texts, strict=True)) if same else {}
    columns = [*letters, *([UNREAD] if any(case.read is None for case in cases) else [])]
    heads = "".join(f'<th scope="col">{_choice(each, texts)}</th>' for each in columns)
    rows = "".join(_row(letter, columns, counts, texts) for letter in letters)
    return (
        f'<figure class="card"><figcaption><h3>{escape(title)}</h3><p>Rows: the right choice; '
        'columns: the one that was read.</p></figcaption><div class="wide"><table class="matrix" '
        f'aria-label="{escape(title)}"><thead><tr><th scope="col">right \\ read</th>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></figure>"
    )


def _row(letter: str, columns: Sequence[str], counts: Counts, texts: dict[str, str]) -> str:
    total = sum(counts[letter, each] for each in columns) or 1
    cells = "".join(
        f'<td class="{"same" if each == letter else ""}" '
        f'style="--share: {counts[letter, each] / total:.3f}">{counts[letter, each]:,}</td>'
        for each in columns
    )
    return f'<tr><th scope="row">{_choice(letter, texts)}</th>{cells}</tr>'


def _choice(letter: str, texts: dict[str, str]) -> str:
    text = f" <small dir='auto'>{escape(texts[letter][:40])}</small>" if letter in texts else ""
    return f"{escape(letter)}{text}"


def _expected(case: CaseResult) -> str:
    """Return the letter of the right choice; of several, the one that was read, or the first."""
    choices = Choices(case.choices, case.lang)
    named = [choices.named(reference) for reference in case.references]
    right = [choices.letters[index] for index in named if index is not None]
    return case.read if case.read in right else (right or [UNREAD])[0]
