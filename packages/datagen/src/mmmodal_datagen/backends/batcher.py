"""Batches for a local model, gathered from the requests of many tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Batcher"]

I = TypeVar("I")  # noqa: E741 - a request
O = TypeVar("O")  # noqa: E741 - an answer


class Batcher(Generic[I, O]):
    """A model that works on several items at once, in its own thread.

    Requests gather while it works; no request waits for a batch to fill.
    """

    def __init__(self, work: Callable[[Sequence[I]], Sequence[O | Exception]], size: int) -> None:
        self._work = work
        self._size = size
        self._waiting: list[tuple[I, asyncio.Future[O]]] = []
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def ask(self, item: I) -> O:
        """Return the answer to one item, or raise its error."""
        future: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())
        return await future

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            items = [item for item, _ in batch]
            try:
                answers = await loop.run_in_executor(self._thread, self._work, items)
            except Exception as error:  # an error of the model is the error of every item
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                _settle(future, answer)


def _settle(future: asyncio.Future[O], answer: O | Exception) -> None:
    if future.done():  # the task that asked was cancelled
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
