"""Which keys and values name media, whatever a data set calls them."""

from __future__ import annotations

from typing import Any

import pytest

from mmmodal.records.naming import kind_of, media_named, names_media

MEDIA = [
    *("image", "images", "Image", "audio", "audios", "video", "videos", "img", "imgs", "pictures"),
    *(
        "image_path",
        "image_paths",
        "imagePath",
        "imagepath",
        "image-url",
        "audio_file",
        "audioFiles",
    ),
    *("image_0", "image1", "image_2_path", "question_image", "input_images", "AUDIO_URLS"),
    *("image_base64", "image_bytes", "image_list", "image_file_name", "video_path"),
    *("media", "medium", "files", "file", "attachments", "filename", "file_name", "file_paths"),
]
OTHERS = [
    *(
        "id",
        "source",
        "image_id",
        "image_size",
        "image_width",
        "image_caption",
        "imagery",
        "audiobook",
    ),
    *("num_images", "n_audio", "has_image", "image_count", "config_file", "model_name", "context"),
    *("filename_description", "video_id", "audio_duration", "media_type", "profile", "", "_", "7"),
]


@pytest.mark.parametrize("key", MEDIA)
def test_a_key_that_names_media_is_found(key: str) -> None:
    assert names_media(key)


@pytest.mark.parametrize("key", OTHERS)
def test_a_key_that_only_speaks_about_media_names_none(key: str) -> None:
    assert not names_media(key)


PNG = "iVBORw0KGgo" + "A" * 100


@pytest.mark.parametrize(
    ("key", "value", "places"),
    [
        ("x", "a.png", ["x"]),
        ("x", "Photos/My Holiday (2).JPEG", ["x"]),
        ("x", "https://example.com/a.webp?size=2#top", ["x"]),
        ("x", "file:///data/a.flac", ["x"]),
        ("x", "C:\\data\\a.wav", ["x"]),
        ("x", "data:image/png;base64,AAAA", ["x"]),
        ("x", PNG, ["x"]),
        ("x", ["no", {"y": [1, "b.mp3"]}], ["x.1.y.1"]),
        ("x", {"images": ["1", "2"]}, ["x.images.0", "x.images.1"]),
        ("x", {"bytes": b"1", "path": None}, ["x.bytes"]),
        ("image", {"bytes": b"1", "path": "a"}, ["image.bytes", "image.path"]),
        ("x", {"array": [0.1], "sampling_rate": 16_000}, ["x"]),
        ("image", "17", ["image"]),
        ("image", 17, ["image"]),
        ("images", [3, None, False], ["images.0"]),
        ("video", True, ["video"]),
        ("x", "a movie.mp4", ["x"]),
        # and what is none
        ("x", "see the long text about how to save a picture to the file named photo.png", []),
        ("x", "line\na.png", []),
        ("x", "a.json", []),
        ("x", "https://example.com/image?id=3", []),
        ("image", "", []),
        ("images", [], []),
        ("images", [None, "", {"bytes": None, "path": None}], []),
        ("images", "[]", []),
        ("image", False, []),
        ("image", float("nan"), []),
        ("images", 0, []),
        ("image_list", 3, []),
        ("x", {"array": [], "sampling_rate": 16_000}, []),
        ("x", 5, []),
    ],
)
def test_the_media_that_a_value_names_are_found_at_any_depth(
    key: str, value: Any, places: list[str]
) -> None:
    assert [named.place for named in media_named(key, value)] == places


def test_the_modality_of_a_file_is_told_by_its_ending() -> None:
    assert [kind_of(path) for path in ("a.JPG", "b/c.mp3", "d.txt", "png")] == [
        "image",
        "audio",
        None,
        None,
    ]
