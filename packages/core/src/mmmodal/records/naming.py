"""Which keys and values of a row name media, by the words and endings that data sets use."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmmodal.media.source import Source
from mmmodal.plugins import registry

__all__ = ["Named", "is_blank", "kind_of", "media_named", "names_media", "words_of"]

# Media of others' rows are found whether or not a plugin for them is installed.
KINDS = frozenset({"image", "img", "picture", "photo", "pic", "audio", "video"})
HOLDER = re.compile(r"(?:media|medium|file|filename|filepath|attachment)s?")
"""Keys that name media only as a whole: a `config_file` holds none."""

LOCATION = re.compile(
    r"(?:path|url|uri|link|file|filename|filepath|name|bytes|base64|b64|data|list|array)s?"
)
"""The last words of a key that names media by where they are: `image_path`."""

COUNT = re.compile(r"has|is|with|without|no|n|nb|num|number|count|total|max|min")
"""The first words of a key that only speaks about media: `num_images`."""

ENDINGS = (".avi", ".heic", ".avif", ".svg", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".wma")
MOST_WORDS = 12  # of a path; a longer text that ends in `photo.jpg` is prose
LONGEST = 4096  # characters of a path
# What base64 of PNG, JPEG, GIF, RIFF, ID3, Ogg and FLAC begins with.
BASE64 = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUQz|T2dnUw|ZkxhQw)[\w+/=\s-]{80,}")
DATA_URI = re.compile(r"data:[^,\s]{0,200},", re.IGNORECASE)
BLANK_TEXTS = frozenset({"", "[]", "{}", "null", "none"})


class Named(NamedTuple):
    """A medium that a value names."""

    place: str
    """The key, with the keys and indices inside it: `images.0.path`."""

    shown: str
    """Its path or URI; the kind of its bytes in words if it is embedded."""

    embedded: bool = False


@functools.lru_cache(maxsize=4096)
def words_of(key: str) -> tuple[str, ...]:
    """Return the words of a key in lower case without numbers: `imagePath_2` is image and path."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
    words = [
        word if LOCATION.fullmatch(word) else word.strip("0123456789")
        for word in re.split(r"[\W_]+", spaced)
    ]
    return tuple(part for word in words if word for part in _parts(word))


@functools.lru_cache(maxsize=4096)
def names_media(key: str) -> bool:
    """Return whether a key names media: `images`, `question_image`, `audio_path`, `files`."""
    words = [*words_of(key)]
    while len(words) > 1 and LOCATION.fullmatch(words[-1]):
        words.pop()
    if not words or any(map(COUNT.fullmatch, words[:-1])):
        return False
    if len(words) == 1 and HOLDER.fullmatch(words[0]):
        return True
    # A modality's name may have several words: `point_cloud`.
    whole = "_" + "_".join(words)
    return whole.endswith(_kinds()) or whole.removesuffix("s").endswith(_kinds())


def media_named(key: str, value: Any) -> Iterator[Named]:
    """Yield the media that a key and its value name, at any depth.

    A text is a medium if a key around it names media, or if it is a path with the ending of media,
    a data URI, or the base64 of a medium.
    """
    named = names_media(key)
    if isinstance(value, int | float):
        # `image: 17` is a medium in another table; `image_list: 3` may be a count.
        if value and value == value and named and len(words_of(key)) == 1:  # NaN is no value
            yield Named(key, str(value))
        return
    yield from _inside(key, value, named)


def kind_of(path: str) -> str | None:
    """Return the modality whose files' names end so; None unless there is exactly one."""
    provided = registry().provided("modalities")
    found = {name for name, item in provided if path.lower().endswith(tuple(item.part.endings))}
    return found.pop() if len(found) == 1 else None


def is_blank(value: Any) -> bool:
    """Return whether a value says nothing: null, false, 0, an empty text or list of such values."""
    if isinstance(value, str):
        return value.strip().lower() in BLANK_TEXTS
    if isinstance(value, Mapping):
        return all(map(is_blank, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_blank, value))
    return not value


def _inside(place: str, value: Any, named: bool) -> Iterator[Named]:
    if isinstance(value, Source):
        yield Named(place, value.origin, embedded=True)
    elif isinstance(value, bytes | bytearray | memoryview):
        if len(value):
            yield Named(place, f"{len(value):,} bytes", embedded=True)
    elif isinstance(value, str):
        if not is_blank(value) and (named or _looks_like_medium(value)):
            yield Named(place, value)
    elif isinstance(value, Mapping):
        if "array" in value and "sampling_rate" in value and not is_blank(value["array"]):
            yield Named(place, "samples", embedded=True)
        for key, inner in value.items():
            yield from _inside(f"{place}.{key}", inner, named or names_media(str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _inside(f"{place}.{index}", inner, named)
    elif named and value is not None and value is not False:
        yield Named(place, str(value))


def _looks_like_medium(text: str) -> bool:
    if DATA_URI.match(text) or BASE64.match(text):
        return True
    if len(text) > LONGEST:
        return False
    path = text.strip()
    if "://" in path:
        path = re.split(r"[?#]", path, maxsplit=1)[0]
    if not path.lower().endswith(_endings()):
        return False
    return "\n" not in path and len(path.split()) <= MOST_WORDS


def _parts(word: str) -> list[str]:
    """Return a word in two if it is written as one: `imagepath`."""
    for kind in _kinds():
        rest = word.removeprefix(kind[1:])
        if rest != word and LOCATION.fullmatch(rest):
            return [kind[1:], rest]
    return [word]


@functools.cache
def _kinds() -> tuple[str, ...]:
    """Return the words for kinds of media, each behind a `_`."""
    return tuple(sorted(f"_{name.lower()}" for name in {*KINDS, *registry().names("modalities")}))


@functools.cache
def _endings() -> tuple[str, ...]:
    provided = (item.part.endings for _, item in registry().provided("modalities"))
    return tuple({*ENDINGS, *(ending.lower() for each in provided for ending in each)})
