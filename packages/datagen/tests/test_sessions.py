"""Sessions about several media are drawn as in the paper, every record at most once."""

from __future__ import annotations

import json
from pathlib import Path

from mmmodal.cli.main import run
from mmmodal.conversation.records import Record
from mmmodal_datagen.sessions import compose_sessions


def make(kind: str, number: int) -> Record:
    question = [{"type": kind, "media": 0}, {"type": "text", "text": f"{kind} {number}?"}]
    answer = [{"type": "text", "text": "yes"}]
    return Record.model_validate(
        {
            "id": f"{kind}-{number}",
            "lang": "en",
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ],
            "media": [{"kind": kind, "uri": f"media/{kind}-{number}"}],
        }
    )


def pools(size: int) -> list[list[Record]]:
    return [[make(kind, number) for number in range(size)] for kind in ("image", "audio")]


def test_every_record_is_used_at_most_once_and_whole() -> None:
    made = list(compose_sessions(pools(200), [0.6, 0.4], sessions=50, seed=1))
    used = [name for record in made for name in record.meta["records"]]  # type: ignore[index]
    assert len(made) == 50
    assert len(used) == len(set(used))
    assert {len(record.media) for record in made} == {2, 3, 4}
    for record in made:
        for medium, name in zip(record.media, record.meta["records"], strict=True):  # type: ignore[index]
            assert medium.uri == f"media/{name}"
        asked = [
            part.media for m in record.messages for part in m.content if part.media is not None
        ]
        assert asked == list(range(len(record.media)))


def test_images_are_drawn_with_the_probability_given() -> None:
    made = compose_sessions(pools(4000), [0.6, 0.4], sessions=1500, seed=2)
    kinds = [medium.kind for record in made for medium in record.media]
    assert abs(kinds.count("image") / len(kinds) - 0.6) < 0.03


def test_the_same_seed_gives_the_same_sessions() -> None:
    first, again, other = (
        list(compose_sessions(pools(50), [0.5, 0.5], sessions=10, seed=seed)) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_it_ends_when_a_pool_is_used_up() -> None:
    made = list(compose_sessions(pools(10), [0.6, 0.4], sessions=1000, seed=0))
    assert 0 < len(made) < 10


def test_the_command_keeps_media_under_the_root(tmp_path: Path) -> None:
    for kind, records in zip(("image", "audio"), pools(20), strict=True):
        (tmp_path / kind).mkdir()
        lines = [record.model_dump_json(exclude_none=True) for record in records]
        (tmp_path / kind / "records.jsonl").write_text("\n".join(lines) + "\n")
    inputs = [str(tmp_path / kind / "records.jsonl") for kind in ("image", "audio")]
    out = tmp_path / "sessions.jsonl"
    assert run(["datagen", "compose", *inputs, str(out), "--sessions", "3"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3
    assert all(m["uri"].startswith(f"{m['kind']}/media/") for row in rows for m in row["media"])
    outside = tmp_path / "image/inner/sessions.jsonl"
    outside.parent.mkdir()
    assert run(["datagen", "compose", *inputs, str(outside), "--sessions", "3"]) == 1
