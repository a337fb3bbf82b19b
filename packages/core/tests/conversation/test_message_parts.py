"""One function knows the forms of a message's parts, for chat and for data files."""

from __future__ import annotations

from typing import Any

import pytest

from mmmodal.conversation.messages import read_messages, read_part
from mmmodal.errors import RenderError

KINDS = ("audio", "image")
ITEM = object()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("Apa?", ("text", "Apa?")),
        ({"type": "text", "text": "Apa?"}, ("text", "Apa?")),
        ({"type": "image", "image": ITEM}, ("image", ITEM)),
        ({"type": "image", "path": "a"}, ("image", "a")),
        ({"type": "image", "url": "a"}, ("image", "a")),
        ({"type": "image", "data": b"a"}, ("image", b"a")),
        (
            {"type": "image", "base64": "AA=="},
            ("image", "data:application/octet-stream;base64,AA=="),
        ),
        (
            {"type": "image", "base64": "data:image/png;base64,AA=="},
            ("image", "data:image/png;base64,AA=="),
        ),
        ({"type": "image", "image_url": {"url": "a"}}, ("image", "a")),
        ({"type": "audio", "audio_url": "a"}, ("audio", "a")),
        ({"type": "image_url", "image_url": {"url": "a"}}, ("image", "a")),
        ({"type": "image_url", "image_url": "a"}, ("image", "a")),
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
            ("audio", "data:audio/mp3;base64,AA=="),
        ),
        ({"type": "input_audio", "input_audio": ITEM}, ("audio", ITEM)),
        ({"type": "image"}, ("image", None)),
    ],
)
def test_a_part_is_its_modality_and_medium(part: Any, expected: tuple[str, Any]) -> None:
    assert read_part(part, KINDS) == expected


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"type": "video", "video": "a"},
            "a part of type 'video', which this model does not accept",
        ),
        ({"type": "imag", "image": "a"}, "'imag', which .*. Did you mean 'image'"),
        ({"type": "image_url"}, "must have 'image_url': "),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "must have 'input_audio': "),
        ({"type": "text"}, "a part of type 'text'"),
        (5, "a part of type None"),
        ("half \udce9", r"half a character \(a lone surrogate, at character 6\)"),
        ({"type": "text", "text": "\ud83d"}, "half a character"),
    ],
)
def test_a_part_of_another_form_is_refused(part: Any, message: str) -> None:
    with pytest.raises(RenderError, match=message):
        read_part(part, KINDS)


def test_a_part_of_a_chat_has_its_medium_itself() -> None:
    with pytest.raises(RenderError, match="a part of type 'image' has no medium; set 'image' or"):
        read_messages([{"role": "user", "content": [{"type": "image"}]}], KINDS)
