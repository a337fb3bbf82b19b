"""Values on a common scale as inline SVG with relative lengths, which fits any width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Scale"]

STEPS = (1, 2, 5, 10)
MOST_TICKS = 6


class Scale:
    """A linear scale from its first tick to its last."""

    def __init__(
        self,
        ticks: Sequence[float],
        write: Callable[[float], str],
        lines: Mapping[float, str] | None = None,
    ) -> None:
        """Make a scale.

        Args:
            ticks: the numbers beside the scale, at least two, in order.
            write: a function that returns a number as HTML.
            lines: the classes of the lines of some ticks; that of the others is `grid`.
        """
        self.ticks = ticks
        self._write = write
        self._lines = lines or {}

    @classmethod
    def around(cls, values: Iterable[float], write: Callable[[float], str]) -> Scale:
        """Return a scale with round numbers that holds all values; that at zero is marked."""
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        if low == high:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        return cls(_round_numbers(low, high), write, {0.0: "zero"})

    def place(self, value: float) -> str:
        """Return the horizontal position of a value, which is moved into the scale."""
        low, high = self.ticks[0], self.ticks[-1]
        return f"{100 * (min(max(value, low), high) - low) / (high - low):.2f}%"

    def numbers(self) -> str:
        """Return the numbers above the drawings of rows."""
        drawn = "".join(
            f'<text x="{self.place(at)}" y="50%">{self._write(at)}</text>' for at in self.ticks
        )
        return f'<svg class="scale numbers" aria-hidden="true">{drawn}</svg>'

    def drawing(self, inside: str) -> str:
        """Return a row with the lines of the scale and SVG on them."""
        lines = "".join(
            f'<line class="{self._lines.get(at, "grid")}" x1="{self.place(at)}" '
            f'x2="{self.place(at)}" y1="0" y2="100%"/>'
            for at in self.ticks
        )
        return f'<svg class="scale" aria-hidden="true">{lines}{inside}</svg>'

    def interval(self, value: float, low: float | None, high: float | None) -> str:
        """Return a row with a dot at a value and the line of its interval, if it has one."""
        at = self.place(value)
        ends = "" if low is None or high is None else self._range(low, high)
        return self.drawing(f'{ends}<circle class="value" cx="{at}" cy="50%" r="6"/>')

    def _range(self, low: float, high: float) -> str:
        start, end = self.place(low), self.place(high)
        return f'<line class="range" x1="{start}" x2="{end}" y1="50%" y2="50%"/>' + "".join(
            f'<svg x="{at}" y="50%" overflow="visible"><line class="range" y1="-5" y2="5"/></svg>'
            for at in (start, end)
        )


def _round_numbers(low: float, high: float) -> list[float]:
    """Return at most `MOST_TICKS` round numbers around a range."""
    power = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    for step in (power * digit for digit in STEPS):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < MOST_TICKS:
            break
    return [step * number for number in range(first, max(last, first + 1) + 1)]
