"""The one preparer: a medium's file is opened once, and what is measured is what is prepared."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

import mmmodal
from mmmodal.contracts.record import Record
from mmmodal.errors import MediaError, RecordError
from mmmodal.limits import read_limits
from mmmodal.model.modeling import MMModalForConditionalGeneration
from mmmodal.records.checker import Checker
from mmmodal.records.dataset import scan
from mmmodal.samples.dataset import prepare_record, record_length
from mmmodal.samples.feature_cache.media import Medium, UnseenMedia
from mmmodal.samples.preparer import Preparer
from mmmodal.samples.transcript import Transcript
from worlds import RATE, clip, picture, record, write_lines

OPENED: list[str] = []
"""The paths that this process opened since it was last looked at."""

sys.addaudithook(
    lambda event, arguments: OPENED.append(str(arguments[0])) if event == "open" else None
)


@pytest.fixture
def preparer(model: MMModalForConditionalGeneration) -> Preparer:
    return Preparer(model.processor.tokenizer, model.processor.modalities)


@pytest.fixture
def media(tmp_path: Path) -> dict[str, Path]:
    picture(1).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", clip(1).samples, RATE)
    return {"image": tmp_path / "a.png", "audio": tmp_path / "a.wav"}


def times_opened(run: Callable[[], Any], path: Path) -> int:
    OPENED.clear()
    run()
    return OPENED.count(str(path))


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_a_medium_s_file_is_opened_once(
    preparer: Preparer, media: dict[str, Path], kind: str
) -> None:
    path = media[kind]
    row = Record.model_validate(record("1", (kind, path.name)))
    unseen = UnseenMedia(
        [
            (
                Medium(kind, path.name, path.parent, "row 1"),
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        ],
        preparer,
    )
    transcript = Transcript(preparer)
    for run in (
        lambda: preparer.read(kind, path),
        lambda: preparer.measure(kind, path),
        lambda: prepare_record(preparer, row, "row 1", path.parent),
        lambda: record_length(preparer, row, "row 1", path.parent),
        lambda: unseen[0],
        lambda: transcript.hear("What is it?", {kind: path}),
    ):
        assert times_opened(run, path) == 1


@pytest.mark.parametrize(("digest", "problems"), [(None, 0), ("0" * 64, 1)])
def test_a_check_of_the_digest_reads_the_same_open_file(
    media: dict[str, Path], digest: str | None, problems: int
) -> None:
    path = media["image"]
    values = record("1", ("image", path.name))
    values["media"][0]["sha256"] = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    (item,) = scan(write_lines(path.parent / "rows.jsonl", [values]))
    found: list[list[RecordError]] = []
    checker = Checker(path.parent)
    assert times_opened(lambda: found.extend(e for _, e in checker.check([item])), path) == 1
    assert len(found[0]) == problems


def test_a_medium_that_changes_while_it_is_read_keeps_no_features(
    preparer: Preparer, media: dict[str, Path]
) -> None:
    path = media["image"]
    unseen = UnseenMedia([(Medium("image", path.name, path.parent, "row 1"), "0" * 64)], preparer)
    assert "changed while it was being read" in str(unseen[0].error)


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_what_is_measured_is_what_is_prepared(
    preparer: Preparer, media: dict[str, Path], kind: str
) -> None:
    prepared = preparer.preprocess(kind, preparer.read(kind, media[kind]))
    assert preparer.measure(kind, media[kind]) == prepared.layout
    row = Record.model_validate(record("1", (kind, media[kind].name)))
    sample = prepare_record(preparer, row, "row 1", media[kind].parent)
    assert record_length(preparer, row, "row 1", media[kind].parent) == len(sample.input_ids)
    assert sample.input_ids.count(preparer.markers[kind].slot) == prepared.slots


def test_limits_hold_for_reading_and_measuring_until_others_are_allowed(
    preparer: Preparer, media: dict[str, Path]
) -> None:
    preparer.allow(read_limits({"image.pixels": 100, "audio.decoded_bytes": 100}))
    for kind, path in media.items():
        with pytest.raises(MediaError, match=r"raise `limits\."):
            preparer.read(kind, path)
    preparer.allow(read_limits({"image.pixels": 10_000, "audio.channels": 1}))
    assert preparer.read("image", media["image"]).size == (50, 40)
    assert preparer.read("audio", media["audio"]).rate == RATE


def test_media_tensors_come_under_the_names_of_the_processor(
    model: MMModalForConditionalGeneration, preparer: Preparer, media: dict[str, Path]
) -> None:
    prepared = [preparer.preprocess(k, preparer.read(k, path)) for k, path in media.items()]
    content = [{"type": kind, "path": str(path)} for kind, path in media.items()]
    whole = model.processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True
    )
    for name, tensor in preparer.collate_media(prepared).items():
        assert torch.equal(tensor, whole[name])


def test_a_turn_whose_medium_cannot_be_read_leaves_nothing(
    preparer: Preparer, media: dict[str, Path]
) -> None:
    transcript = Transcript(preparer, root=media["image"].parent)
    transcript.hear("first", {"images": ["a.png"]})
    with pytest.raises(MediaError):
        transcript.hear("second", {"images": ["a.png", "gone.png"]})
    assert (len(transcript.messages), len(transcript.media), transcript.origins) == (
        1,
        1,
        ["a.png"],
    )


def test_answers_to_many_records_are_those_of_a_chat(
    model: MMModalForConditionalGeneration, media: dict[str, Path]
) -> None:
    rows = [
        Record.model_validate(record(str(number), (kind, path.name), answer="unread"))
        for number, (kind, path) in enumerate(media.items())
    ]
    finished: list[int] = []
    answers = mmmodal.answer_records(
        model,
        rows,
        media["image"].parent,
        batch_size=1,
        max_new_tokens=4,
        progress=finished.append,
    )
    for row, said in zip(rows, answers, strict=True):
        chat = mmmodal.Chat(model, root=media["image"].parent, max_new_tokens=4)
        for message, answer in zip(row.messages[::2], said, strict=True):
            content = [
                part.text
                if part.media is None
                else {"type": part.type, "path": row.media[part.media].uri}
                for part in message.content
            ]
            assert chat.say(content) == answer
    assert finished == [1, 1]
