"""Messages of lmms-eval become records; what cannot be asked is refused by the document's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmmodal.authoring.media import Audio, AudioLimits, ImageLimits, find_source
from mmmodal.authoring.media import Image as Pictures
from mmmodal.authoring.parts import RecordError
from mmmodal_lmms_eval.messages import question, record_of
from worlds import clip, gradient, picture

KNOWN = ("image", "audio")
SOUND = {"array": clip().samples, "sampling_rate": clip().rate}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def shown(value: Any, kind: str = "image") -> Any:
    """Return the medium that the record of a question about a value holds, as core reads it."""
    record = record_of([user({"type": kind, "url": value})], "task t, document 3", KNOWN)
    (ref,) = record.media
    limits = {"image": ImageLimits(), "audio": AudioLimits()}[ref.kind]
    source = find_source(ref.address, root=Path("/nowhere"), limits=limits)
    return {"image": Pictures(), "audio": Audio()}[ref.kind].read(source, limits)


def test_parts_keep_their_order() -> None:
    said = [
        {"role": "system", "content": "Be short."},
        user(text("A "), {"type": "image", "url": picture()}, text(" or "), {"type": "audio", "url": SOUND}),
        {"role": "assistant", "content": [text("B")]},
        user(text("Why?")),
    ]  # fmt: skip
    record = record_of(said, "task t, document 3", KNOWN)
    assert record.id == "task t, document 3"
    assert [m.role for m in record.messages] == ["system", "user", "assistant", "user"]
    asked = record.messages[1].content
    assert [(p.type, p.text, p.media) for p in asked] == [
        ("text", "A ", None),
        ("image", None, 0),
        ("text", " or ", None),
        ("audio", None, 1),
    ]
    assert record.messages[0].text == "Be short."


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "RGBA", "LA", "I;16"])
def test_a_picture_is_read_as_core_converts_it(mode: str) -> None:
    given = gradient(30, 20).convert("L" if mode == "I;16" else mode).convert(mode)
    np.testing.assert_array_equal(np.asarray(shown(given)), np.asarray(Pictures().convert(given)))


def test_a_picture_is_read_as_its_file(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    gradient(30, 20).save(tmp_path / "a.jpg", exif=turned)
    from_file = shown(str(tmp_path / "a.jpg"))
    assert from_file.size == (20, 30)
    for value in (Image.open(tmp_path / "a.jpg"), (tmp_path / "a.jpg").read_bytes()):
        np.testing.assert_array_equal(np.asarray(shown(value)), np.asarray(from_file))


@pytest.mark.parametrize("kind", ["audio", "video"])
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_decoded_sound_is_sound_whatever_it_is_called(kind: str, rate: int) -> None:
    samples = clip(rate=rate).samples * 3  # beyond full scale, which a WAV of integers would cut
    heard = shown({"array": samples, "sampling_rate": rate}, kind)
    assert heard.rate == rate
    np.testing.assert_array_equal(heard.samples, samples)


@pytest.mark.parametrize("form", ["path", "url", "bytes"])
def test_a_mapping_names_a_file_or_holds_it(tmp_path: Path, form: str) -> None:
    picture(4).save(tmp_path / "a.png")
    value = {"path": str(tmp_path / "a.png"), "bytes": None}
    if form == "url":
        value = {"url": str(tmp_path / "a.png")}
    if form == "bytes":
        value = {"path": "gone.png", "bytes": (tmp_path / "a.png").read_bytes()}
    np.testing.assert_array_equal(np.asarray(shown(value)), np.asarray(picture(4)))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "its messages are None; return a list of them"),
        ([], "its messages are []"),
        ("What?", "its messages are 'What?'"),
        (["What?"], "a message has the role None"),
        ([{"role": "tool", "content": "x"}], "a message has the role 'tool'"),
        ([{"role": "user", "content": None}], "a message has the content None"),
        ([{"role": "user", "content": "x", "tool_calls": [1]}], "a message has 'tool_calls', which cannot act"),
        ([user("x")], "a part is 'x'; give a mapping that has a type"),
        ([user({"type": "text"})], "a text is None"),
        ([user({"type": "video", "url": "a.mp4"})], r"it shows video, which this model does not know (known: image, audio)"),
        ([user({"type": "image_url", "image_url": {"url": "a"}})], "it shows image_url, which"),
        ([user({"type": "image", "url": "a.png", "max_pixels": 9})], "a part of type image has 'max_pixels', which cannot act"),
        ([user({"type": "audio", "url": {"path": "a.wav", "video_start": 1.0}})], "its audio has 'video_start', which cannot act"),
        ([user({"type": "audio", "url": "data:,x"})], "data"),
        ([user(text("A")), {"role": "assistant", "content": "The"}], "its last message is of the assistant"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(said: Any, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        record_of(said, "task t, document 3", KNOWN)
    assert str(caught.value).startswith("task t, document 3: ")
    assert reason in str(caught.value)


def test_a_modality_of_a_plugin_is_shown_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    said = [user({"type": "video", "url": str(tmp_path / "a.mp4"), "start_time": None})]
    (ref,) = record_of(said, "task t, document 3", (*KNOWN, "video")).media
    assert ref.kind == "video" and ref.uri.endswith("a.mp4")
    for wrong in ({"start_time": 1.0}, {"url": object()}):
        with pytest.raises(RecordError, match="document 3: .*video"):
            record_of(
                [user(said[0]["content"][0] | wrong)], "task t, document 3", (*KNOWN, "video")
            )


@pytest.mark.parametrize(
    ("visual", "kind"),
    [
        (picture(), "image"),
        (SOUND, "video"),  # as lmms-eval says; it is read as sound all the same
        ({"type": "audio", "path": "a.wav"}, "audio"),
        ("a.JPG", "image"),
        ("a.flac", "audio"),
        ("a.avi", "video"),
    ],
)
def test_media_stand_in_front_of_a_question(visual: Any, kind: str) -> None:
    (turn,) = question([visual], "What?")
    assert turn["content"] == [{"type": kind, "url": visual}, text("What?")]
