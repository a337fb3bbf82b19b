"""Shards run on a real Ray of two workers, and one that is killed costs nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from language_server import Reply, Server, by_digest, serving
from mmmodal.config import validate
from mmmodal_datagen.pipeline import Pipeline
from mmmodal_datagen.run.runner import run_pipeline
from worlds import write_lines

pytest.importorskip("ray", reason="Ray is not installed: pip install mmmodal-datagen[ray]")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def values_of(folder: Path, server: Server, execution: dict[str, Any]) -> dict[str, Any]:
    """Return a pipeline of six shards of dialogues."""
    folder.mkdir()
    rows = [
        {
            "id": f"clip-{index}",
            "kind": "clip",
            "turns": [{"role": "user", "content": [{"type": "text", "text": f"Why {index}?"}]}],
            "media": [{"kind": "audio", "uri": "a.mp3", "description": f"transkrip {index}"}],
            "groups": [f"video-{index}"],
        }
        for index in range(12)
    ]
    write_lines(folder / "rows.jsonl", rows)
    options = {"model": "m", "base_url": server.url, "endpoint": "here"}
    return {
        "out": str(folder / "out"),
        "root": str(folder),
        "shard_rows": 2,
        "execution": execution,
        "backends": {"writer": {"language_model": "openai", "options": options}},
        "steps": {
            "rows": {"step": "import", "options": {"files": ["rows.jsonl"]}},
            "dialogue": {"inputs": ["rows"], "options": {"turns": 2}},
        },
    }


def published(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "out").rglob("*"))
        if path.is_file() and "calls" not in path.parts
    }


def kill_a_worker(server: Server, killed: list[int]) -> None:
    """Kill one of Ray's workers once two of them have asked for something; note which."""
    while len(server.requests) < 3:
        time.sleep(0.01)
    for child in psutil.Process().children(recursive=True):
        # Ray names its workers so; its own daemons have the name among their arguments.
        if child.cmdline()[:1] == ["ray::_do"]:
            child.kill()
            killed.append(child.pid)
            return


def test_ray_makes_what_one_process_makes_though_a_worker_is_killed(tmp_path: Path) -> None:
    import ray

    def slowly(request: dict[str, Any], number: int) -> Reply:
        return Reply(text=by_digest(request, number).text, wait_s=0.2)

    with serving(slowly) as server:
        pipeline = values_of(tmp_path / "local", server, {"kind": "local"})
        run_pipeline(validate(Pipeline, pipeline, "test"))
        asked = len(server.requests)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        killed: list[int] = []
        killer = threading.Thread(target=kill_a_worker, args=(server, killed))
        try:
            pipeline = values_of(tmp_path / "ray", server, {"kind": "ray"})
            server.requests.clear()
            killer.start()
            outcomes = run_pipeline(validate(Pipeline, pipeline, "test"))
            killer.join()
        finally:
            ray.shutdown()
        assert len(server.requests) <= asked + 2  # what was open when the worker died
    assert len(killed) == 1
    assert [outcome.rows for outcome in outcomes] == [12, 12]
    assert published(tmp_path / "ray") == published(tmp_path / "local")
