"""The proof of the whole: random parts, composed and trained, learn to talk about their media."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mmmodal
from beeps import make_records
from mmmodal.contracts.record import Message, Record
from mmmodal.making.loading import save
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.tiny import tiny_siglip, tiny_whisper
from mmmodal_playground.tiny_language import tiny_language_model

CONVERSATIONS = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("world"), CONVERSATIONS)


@pytest.fixture(scope="module")
def records(data: Path) -> list[Record]:
    return [Record.model_validate(json.loads(line)) for line in data.read_text().splitlines()]


def part(name: str, source: Path) -> mmmodal.Part:
    """Take the last layer, normalised: layers of random weights differ little between inputs."""
    return mmmodal.Part(
        name=name, source=str(source), options={"select_layer": -1, "post_norm": True}
    )


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    mmmodal.compose(
        root / "start",
        backbone=f"auto:{tiny_language_model(root / 'lm', 'qwen2', hidden_size=96)}",
        encoders={
            "image": part("siglip", tiny_siglip(root / "siglip", image_size=64, patch_size=16)),
            "audio": part("whisper", tiny_whisper(root / "whisper")),
        },
    )
    common = [f"data={data}", "max_tokens=1024", "batch_size=16"]
    run_stage(
        load_recipe(
            "align", [f"model={root / 'start'}", f"out={root / 'aligned'}", *common, "max_steps=4"]
        )
    )
    options = [
        "learning_rate=3e-3",
        "schedule=cosine",
        "epochs=120",
        "log_every=20",
        f"out={root / 'trained'}",
    ]
    run_stage(load_recipe("instruct", [f"model={root / 'aligned'}", *common, *options]))
    return root / "trained"


@pytest.fixture(scope="module")
def model(trained: Path) -> MMModalForConditionalGeneration:
    return mmmodal.load(trained)


def prompts_and_answers(record: Record) -> list[tuple[tuple[Message, ...], str]]:
    """Each assistant turn with everything before it."""
    return [
        (record.messages[:i], str(message.content[0].text))
        for i, message in enumerate(record.messages)
        if message.role == "assistant"
    ]


def ask(
    model: MMModalForConditionalGeneration, root: Path, questions: list[tuple[Any, Record]]
) -> list[str]:
    """Answer the questions in one batch, greedily."""
    processor, samples = model.processor, []
    for messages, record in questions:
        used = sum(part.media is not None for message in messages for part in message.content)
        items = [(m.kind, processor.read(m.kind, m.uri, root=root)) for m in record.media[:used]]
        samples.append(processor.preparer.prepare(messages, items, add_generation_prompt=True))
    batch = processor.preparer.collate(samples, padding_side="left")
    del batch["labels"]
    output = model.generate(**batch, max_new_tokens=32, do_sample=False)
    new = output[:, batch["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]


def accuracy(
    model: MMModalForConditionalGeneration, root: Path, records: list[Record], size: int
) -> float:
    questions = [
        (messages, record, answer)
        for record in records
        for messages, answer in prompts_and_answers(record)
    ]
    right = 0
    for start in range(0, len(questions), size):
        batch = questions[start : start + size]
        found = ask(model, root, [(messages, record) for messages, record, _ in batch])
        right += sum(text == answer for text, (_, _, answer) in zip(found, batch, strict=True))
    return right / len(questions)


def swapped(records: list[Record]) -> list[Record]:
    """Give every conversation the media of another, kind by kind."""
    pools = {
        kind: [m for record in records for m in record.media if m.kind == kind]
        for kind in ("image", "audio")
    }
    taken = {kind: len(pool) // 2 for kind, pool in pools.items()}
    result = []
    for record in records:
        media = []
        for medium in record.media:
            pool = pools[medium.kind]
            media.append(pool[taken[medium.kind] % len(pool)])
            taken[medium.kind] += 1
        result.append(record.model_copy(update={"media": tuple(media)}))
    return result


def test_every_answer_is_repeated_alone(
    model: MMModalForConditionalGeneration, data: Path, records: list[Record]
) -> None:
    assert accuracy(model, data.parent, records, size=1) == 1.0


def test_every_answer_is_repeated_in_a_batch(
    model: MMModalForConditionalGeneration, data: Path, records: list[Record]
) -> None:
    assert accuracy(model, data.parent, records, size=16) == 1.0


def test_every_answer_is_repeated_after_saving_and_loading(
    model: MMModalForConditionalGeneration, data: Path, records: list[Record], tmp_path: Path
) -> None:
    again = mmmodal.load(save(model, tmp_path / "again"))
    assert accuracy(again, data.parent, records, size=16) == 1.0


def test_answers_follow_the_media(
    model: MMModalForConditionalGeneration, data: Path, records: list[Record]
) -> None:
    assert accuracy(model, data.parent, swapped(records), size=16) < 0.6


def test_chat_repeats_them_turn_by_turn(
    model: MMModalForConditionalGeneration, data: Path, records: list[Record]
) -> None:
    for record in records[:8]:
        chat = mmmodal.Chat(model, root=data.parent, max_new_tokens=32)
        for messages, answer in prompts_and_answers(record):
            parts = [
                {"type": "text", "text": part.text}
                if part.media is None
                else {"type": part.type, "path": record.media[part.media].uri}
                for part in messages[-1].content
            ]
            assert chat.say(parts) == answer
