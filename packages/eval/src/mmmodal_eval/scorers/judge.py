"""A language model behind an OpenAI-compatible endpoint as a judge."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field
from tqdm import tqdm

from mmmodal.authoring.files import cache_folder
from mmmodal_datagen.backends.openai_options import OpenAIOptions
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.verdicts import question, verdict

if TYPE_CHECKING:
    from mmmodal_datagen.replay.models import Models

__all__ = ["Judge", "JudgeOptions"]


class JudgeOptions(OpenAIOptions):
    """The endpoint and its limits, and what the judge is told."""

    rubric: str | None = None
    """When an answer is right, in place of the rubric of this package."""

    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(1024, gt=0)
    """The maximum length of a verdict with its reason, and with thoughts where a model has them."""

    kept: Path | None = None
    """The folder of kept verdicts; by default `judge` in the folder of caches (MMMODAL_CACHE)."""


class Tally(NamedTuple):
    """The counts of the judge."""

    right: float = 0.0
    agreed: float = 0.0
    """Verdicts that are the same in both orders."""

    disagreed: float = 0.0
    reference_first: float = 0.0
    """Of those that disagree: right with the reference in front."""

    right_longer: float = 0.0
    longer: float = 0.0
    """Of those that agree: answers longer than every reference."""


class Judge(Scorer):
    """1 if a language model finds the answer right, else 0.

    It reads texts only: the question, the references, the answer. Each answer is judged twice, with
    the references in front and behind; only verdicts that agree count. A verdict is kept by what
    was asked of which model, so that nothing is asked twice. An empty answer is wrong, and nobody
    is asked.
    """

    name = "judge"
    Options = JudgeOptions
    options: JudgeOptions
    is_mean = False

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer.

        Raises:
            Failed: the endpoint gave no answer, or one without a verdict.
            StopRun: the endpoint cannot be used at all, as with a wrong key.
        """
        (found,) = self.score_all([(answer, expected)])
        if isinstance(found, Exception):
            raise found
        return found

    def score_all(self, answers: Sequence[tuple[str, Expected]]) -> list[Score | Exception]:
        """Return the score of each answer, or the error that left it without one.

        Raises:
            StopRun: the endpoint cannot be used at all; verdicts so far are kept.
        """
        return _run(self._judged(answers))

    def notes(self, totals: Sequence[float]) -> list[str]:
        """Return how often the orders disagree, and how length and verdicts go together."""
        found = Tally(*totals)
        judged, shorter = found.agreed + found.disagreed, found.agreed - found.longer
        notes = [
            f"The judge's verdicts on {found.disagreed:,.0f} of {judged:,.0f} answers "
            f"({_share(found.disagreed, judged)}) depend on the order of reference and answer, and "
            f"do not count; {found.reference_first:,.0f} of them are right only with the reference "
            "in front."
        ]
        if found.longer and shorter:
            notes.append(
                f"Of the answers longer than their references "
                f"{_share(found.right_longer, found.longer)} are right, of the others "
                f"{_share(found.right - found.right_longer, shorter)}."
            )
        return notes

    def signature(self) -> str:
        """Return which model judges by which rubric."""
        from hashlib import sha256

        chosen = self.options
        rubric = chosen.rubric and sha256(chosen.rubric.encode()).hexdigest()[:8]
        revision = f"@{chosen.revision}" if chosen.revision else ""
        return (
            f"judge {chosen.model}{revision}, both orders, rubric: {rubric or 'default'}, "
            f"temperature: {chosen.temperature:g}"
        )

    async def _judged(self, answers: Sequence[tuple[str, Expected]]) -> list[Score | Exception]:
        from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint
        from mmmodal_datagen.contracts import StopRun
        from mmmodal_datagen.replay.models import Models
        from mmmodal_datagen.replay.store import ReplayStore

        values = {name: getattr(self.options, name) for name in OpenAIOptions.model_fields}
        endpoint = OpenAIEndpoint(OpenAIOptions(**values))
        store = ReplayStore(self.options.kept or cache_folder() / "judge")
        try:
            with tqdm(total=len(answers), desc="judge", leave=False, disable=None) as bar:
                models = Models(store, language_model=endpoint)
                tasks = (self._one(models, *each, bar) for each in answers)
                found = await asyncio.gather(*tasks)
        finally:
            await endpoint.aclose()
            store.close()
        if stopped := next((each for each in found if isinstance(each, StopRun)), None):
            raise stopped
        return found

    async def _one(
        self, models: Models, answer: str, expected: Expected, bar: tqdm[Any]
    ) -> Score | Exception:
        """Return the score of an answer, or the error of either verdict."""
        if not answer.strip():
            bar.update()
            return Score(
                tuple(Tally(agreed=1.0)), note="an empty answer is wrong; nobody was asked"
            )
        asked = [self._asked(models, answer, expected, swapped) for swapped in (False, True)]
        first, second = await asyncio.gather(*asked, return_exceptions=True)
        bar.update()
        for each in (first, second):
            if isinstance(each, Exception):
                return each
            if isinstance(each, BaseException):
                raise each
        longer = all(len(answer) > len(reference) for reference in expected.references)
        return _scored(first is True, second is True, longer)

    async def _asked(self, models: Models, answer: str, expected: Expected, swapped: bool) -> bool:
        """Return the verdict in one order.

        Raises:
            Failed: there is none.
        """
        from mmmodal_datagen.contracts import ChatTurn, Failed, Sampling

        content = question(answer, expected, self.options.rubric, swapped)
        sampling = Sampling(
            temperature=self.options.temperature, max_tokens=self.options.max_tokens
        )
        made = await models.chat([ChatTurn(role="user", content=content)], sampling, 0, [])
        found = verdict(made.text)
        if found is None:
            end = " ".join(made.text.split())[-120:]
            raise Failed("the judge gives no verdict", f"it ends by {made.finish_reason}: {end!r}")
        return found


def _scored(first: bool, second: bool, longer: bool) -> Score:
    """Return the score of the verdicts with the reference in front, and behind."""
    if first != second:
        where = "in front" if first else "behind"
        note = f"the verdicts disagree: right only with the reference {where}"
        return Score(tuple(Tally(disagreed=1.0, reference_first=float(first))), note=note)
    right, of_longer = float(first), float(longer)
    tally = Tally(right=right, agreed=1.0, right_longer=right * of_longer, longer=of_longer)
    return Score(tuple(tally), "right" if first else "wrong")


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _run(judged: Coroutine[Any, Any, list[Score | Exception]]) -> list[Score | Exception]:
    """Return what a coroutine returns, also inside of another event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(judged)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, judged).result()
