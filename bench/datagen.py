"""The data pipeline: calls relative to an endpoint's limit, faults, drawing of sessions, replay.

    python bench/datagen.py [--json FILE] [--rows N]

The endpoint is a process on this machine that answers after a fixed time; its limit is the number
of open calls divided by that time. The paper's draw of sessions is reimplemented from its
description (section 4.4).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from mmmodal.config import validate
from mmmodal_datagen.backends.openai_endpoint import OpenAIEndpoint, OpenAIOptions
from mmmodal_datagen.contracts import Medium, Piece, Row, Sampling, Turn
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import run_pipeline
from mmmodal_datagen.steps.compose.draw import draw

CONCURRENCY = 64
POOL = 16_000


def serve(pipe: Connection, wait_s: float, fault_every: int) -> None:
    """Answer every completion after `wait_s`, and each `fault_every`-th with an error."""
    count = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            request = json.loads(await reader.readexactly(length))
            count += 1
            failing = bool(fault_every) and count % fault_every == 0
            await asyncio.sleep(wait_s)
            text = f" said {len(request['prompt'])}"
            said = {"choices": [{"text": text, "finish_reason": "stop"}], "model": "m"}
            body = json.dumps(said).encode()
            status = b"500 Error" if failing else b"200 OK"
            fields = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            writer.write(b"HTTP/1.1 " + status + b"\r\n" + fields + body)

    async def main() -> None:
        server = await asyncio.start_server(_until_closed(answer), "127.0.0.1", 0, backlog=512)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _until_closed(answer: Any) -> Any:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return one


@contextmanager
def served(wait_s: float, fault_every: int = 0) -> Iterator[str]:
    """Serve in a separate process; yield its URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, wait_s, fault_every), daemon=True
    )
    process.start()
    yield f"http://127.0.0.1:{ours.recv()}/v1"
    process.kill()
    process.join()


def calls(wait_s: float, each: int, runs: int = 5) -> dict[str, float]:
    """Return calls per second, also as a share of the endpoint's limit at this concurrency."""

    async def ask(url: str) -> float:
        options = OpenAIOptions(model="m", base_url=url, concurrency=CONCURRENCY)
        endpoint = OpenAIEndpoint(options)
        await _ask_together(endpoint, 1)  # connect
        begun = time.perf_counter()
        await _ask_together(endpoint, each)
        seconds = time.perf_counter() - begun
        await endpoint.aclose()
        return seconds

    with served(wait_s) as url:
        seconds = statistics.median(asyncio.run(ask(url)) for _ in range(runs))
    rate, limit = each * CONCURRENCY / seconds, CONCURRENCY / wait_s
    return {"calls_per_s": rate, "limit_per_s": limit, "share": rate / limit}


async def _ask_together(endpoint: OpenAIEndpoint, each: int) -> None:
    """Make calls as a pipeline does: each of the open rows calls again after its answer."""

    async def ask_in_turn(caller: int) -> None:
        for index in range(each):
            await endpoint.complete(f"prompt {caller} {index}", Sampling())

    await asyncio.gather(*map(ask_in_turn, range(CONCURRENCY)))


def rows(wait_s: float, number: int) -> dict[str, float]:
    """Return rows per second of a whole step with one call for each, including files and store."""
    with tempfile.TemporaryDirectory() as name, served(wait_s) as url:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", number)
        rate = number / run_pipeline(pipeline_of(folder, url))[-1].seconds
    limit = CONCURRENCY / wait_s
    return {"rows_per_s": rate, "limit_per_s": limit, "share": rate / limit}


def pipeline_of(folder: Path, url: str) -> Pipeline:
    """Return a pipeline that makes one question and answer for each row."""
    options = {"model": "m", "base_url": url, "endpoint": "bench", "backoff_s": 0.05}
    values = {
        "out": folder / "out",
        "root": folder,
        "concurrency": CONCURRENCY,
        "backends": {"writer": {"language_model": "openai", "options": options}},
        "steps": {
            "rows": {"step": "import", "options": {"files": ["rows.jsonl"]}},
            "dialogue": {"inputs": ["rows"], "options": {"turns": 1}},
        },
    }
    return validate(Pipeline, values, "bench")


def write_rows(path: Path, number: int) -> None:
    with path.open("w") as file:
        for index in range(number):
            question = Piece(type="text", text=f"Why {index}?")
            row = Row(
                id=f"row-{index}",
                kind="clip",
                turns=(Turn(role="user", content=(question,)),),
                media=(Medium(kind="audio", uri=f"{index}.mp3", description=f"text {index}"),),
                groups=(f"clip-{index}",),
            )
            file.write(row.model_dump_json(exclude_none=True) + "\n")


def faults_and_replay(number: int) -> dict[str, float]:
    """Return the times of a run with an endpoint that fails one call in five, and of two more runs.

    The second run finds all steps finished; the third has only the stored answers.
    """
    with tempfile.TemporaryDirectory() as name, served(0.02, fault_every=5) as url:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", number)
        begun = time.perf_counter()
        made = run_pipeline(pipeline_of(folder, url))[-1]
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        run_pipeline(pipeline_of(folder, url))
        again = time.perf_counter() - begun
        shutil.rmtree(folder / "out" / "steps")
        begun = time.perf_counter()
        run_pipeline(pipeline_of(folder, url))
        answers = time.perf_counter() - begun
    counts = {"rows": made.rows, "of": number}
    return {**counts, "first_s": first, "replay_s": again, "replay_answers_s": answers}


def papers_draw(images: int, audio: int, sessions: int, seed: int) -> int:
    """Draw as in the paper: every draw builds the list of all unused rows again."""
    chance = random.Random(seed)
    pools = (set(range(images)), set(range(audio)))
    used: tuple[set[int], set[int]] = (set(), set())
    made = 0
    for _ in range(sessions):
        drawn = []
        for _ in range(chance.randint(2, 4)):
            kind = 0 if chance.random() > 0.4 else 1
            left = list(pools[kind] - used[kind])
            if not left:
                return made
            row = chance.choice(left)
            used[kind].add(row)
            drawn.append(row)
        made += 1
    return made


def drawing() -> dict[str, float]:
    """Return the times of both draws for 16,000 rows of each kind, and of ours for 1M sessions."""
    begun = time.perf_counter()
    made = papers_draw(POOL, POOL, 50_000, 0)
    paper = time.perf_counter() - begun
    ours = min(_ours(POOL, 50_000) for _ in range(5))
    million = _ours(1_900_000, 1_000_000)
    return {
        "paper_sessions": made,
        "paper_s": paper,
        "ours_s": ours,
        "times_faster": paper / ours,
        "million_s": million,
    }


def _ours(pool: int, sessions: int) -> float:
    groups = np.arange(2 * pool)[:, None]
    pools = {"image": np.arange(pool), "audio": np.arange(pool, 2 * pool)}
    begun = time.perf_counter()
    draw(pools, {"image": 0.6, "audio": 0.4}, groups, sessions=sessions)
    return time.perf_counter() - begun


def show(title: str, values: dict[str, float]) -> None:
    print(title)
    for name, value in values.items():
        print(f"  {name:<18}{value:>14,.3f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/datagen.json"))
    parser.add_argument("--rows", type=int, default=1000)
    given = parser.parse_args(arguments)
    results = {
        "calls at 250 ms": calls(0.25, 40),
        "calls at 50 ms": calls(0.05, 40),
        "rows at 250 ms": rows(0.25, 5 * given.rows),
        "one call in five fails": faults_and_replay(given.rows),
        "drawing sessions": drawing(),
    }
    for title, values in results.items():
        show(title, values)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
