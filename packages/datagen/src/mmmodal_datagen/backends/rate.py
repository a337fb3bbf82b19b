"""The limit of open calls to an endpoint: it grows with answers, and shrinks with refusals."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator

__all__ = ["Rate"]

DECREASE = 0.75
INCREASE_AFTER = 25
"""The number of answers after which the limit grows by one."""


class Rate:
    """A limit that grows by one and shrinks by a quarter (AIMD), never below one call.

    The refusal of a call that was open when the limit shrank does not shrink it again.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.open = 0
        self._answers = 0
        self._shrunk = -1.0
        self._pause_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator[float]:
        """Wait for a place among the open calls; yield the time the call began, for `slow_down`."""
        await self._take_place()
        try:
            while (pause := self._pause_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            yield time.monotonic()
        finally:
            self.open -= 1
            self._let_in()

    async def _take_place(self) -> None:
        """Wait for a place, in the order of arrival."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # the place was given to a cancelled task
                self.open -= 1
                self._let_in()
            raise

    def _let_in(self) -> None:
        """Give free places to waiting tasks, in their order.

        An `asyncio.Condition` that wakes all tasks takes 16 times the work at 64 open calls.
        """
        while self._waiting and self.open < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self.open += 1
                place.set_result(None)

    def answered(self) -> None:
        """Count an answer; after every `INCREASE_AFTER` answers the limit grows by one."""
        self._answers += 1
        if self._answers >= INCREASE_AFTER and self.limit < self.most:
            self._answers = 0
            self.limit = min(float(self.most), self.limit + 1)
            self._let_in()

    def slow_down(self, begun: float, pause_s: float) -> None:
        """Count a refusal (429): lower the limit, and open no call for `pause_s`.

        Args:
            begun: when the refused call began.
            pause_s: until the next call.
        """
        self._pause_until = max(self._pause_until, time.monotonic() + pause_s)
        if begun > self._shrunk:
            self._shrunk = time.monotonic()
            self._answers = 0
            self.limit = max(1.0, self.limit * DECREASE)
