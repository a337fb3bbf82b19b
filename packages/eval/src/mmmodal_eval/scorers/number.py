"""Numbers within a tolerance."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from mmmodal.authoring.parts import Config
from mmmodal_eval.contracts import Expected, Score, Scorer
from mmmodal_eval.scorers.numerals import Numeral, numerals

__all__ = ["Number", "NumberOptions"]

HUNDRED = Decimal(100)


class NumberOptions(Config):
    """Which number of an answer counts, and how far off it may be."""

    absolute: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The largest difference that is right."""

    relative: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The largest difference that is right, as a share of the reference."""

    take: Literal["last", "first", "only"] = "last"
    """Which of several numbers in an answer is read; `only`: none, unless they are equal."""


class Number(Scorer):
    """1 if the number in the answer is that of a reference, within a tolerance, else 0.

    A percent sign is read as a unit: 45 % is 45; where only one of the two has it, 0.45 will do as
    well.
    """

    name = "number"
    Options = NumberOptions
    options: NumberOptions

    def check(self, expected: Expected) -> None:
        """Refuse references without a number, or with several."""
        for reference in expected.references:
            found = {each.value for each in numerals(reference, expected.language)}
            if len(found) != 1:
                many = "several numbers" if found else "no number"
                raise ValueError(
                    f"the reference {reference!r:.60} holds {many}; name the right one in "
                    "`expect.references`"
                )

    def score(self, answer: str, expected: Expected) -> Score:
        """Return the score of one answer; `read` is the number."""
        found = numerals(answer, expected.language)
        if not found:
            return Score((0.0, 1.0), note="the answer holds no number")
        if self.options.take == "only" and len({each.value for each in found}) > 1:
            return Score((0.0, 1.0), note=f"the answer holds {len(found)} numbers")
        read = found[0 if self.options.take == "first" else -1]
        right = any(
            self._is_right(read, true)
            for reference in expected.references
            for true in numerals(reference, expected.language)
        )
        return Score((float(right), 1.0), f"{read.value:f}{' %' * read.percent}")

    def signature(self) -> str:
        """Return the tolerance, and which number is read."""
        chosen = self.options
        return (
            f"number, absolute: {chosen.absolute:g}, relative: {chosen.relative:g}, "
            f"take: {chosen.take}"
        )

    def _is_right(self, read: Numeral, true: Numeral) -> bool:
        values = [(read.value, true.value)]
        if read.percent != true.percent:
            a, b = (each.value / (HUNDRED if each.percent else 1) for each in (read, true))
            values.append((a, b))
        return any(self._is_close(one, other) for one, other in values)

    def _is_close(self, value: Decimal, true: Decimal) -> bool:
        absolute, relative = (
            Decimal(str(x)) for x in (self.options.absolute, self.options.relative)
        )
        return abs(value - true) <= max(absolute, relative * abs(true))
