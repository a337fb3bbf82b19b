"""The client of endpoints: as many calls at once as it may make, and fewer where it is told so."""

from __future__ import annotations

import asyncio
import threading
import time

from language_server import Reply, serving
from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint, OpenAIOptions
from mmmodal_datagen.backends.rate import Rate
from mmmodal_datagen.contracts import Sampling


def test_as_many_calls_are_open_as_are_allowed() -> None:
    at_once = 130

    async def ask(url: str) -> None:
        endpoint = OpenAIEndpoint(OpenAIOptions(model="m", base_url=url, concurrency=at_once))
        calls = [endpoint.complete(f"{index}", Sampling()) for index in range(at_once)]
        await asyncio.gather(*calls)
        await endpoint.aclose()

    with serving() as server:
        gate = threading.Barrier(at_once)  # no call is answered before all are there
        server.reply = lambda request, number: (gate.wait(60), Reply(text=" yes"))[1]
        asyncio.run(ask(server.url))


def test_too_many_requests_slow_the_calls_down_and_they_recover() -> None:
    rate = Rate(16)
    rate.slow_down(begun=time.monotonic(), pause_s=0)
    assert int(rate.limit) == 12
    begun = time.monotonic() - 1
    rate.slow_down(begun, pause_s=0)
    assert int(rate.limit) == 12  # it was open when the limit shrank
    for _ in range(20):
        rate.slow_down(time.monotonic(), pause_s=0)
        time.sleep(0.001)
    assert rate.limit == 1
    for _ in range(25 * 40):
        rate.answered()
    assert rate.limit == 16
