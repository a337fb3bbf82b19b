"""Values of the columns of MDS shards, by their encodings; media are sources, and not decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from mmmodal.errors import RecordError
from mmmodal.media.source import InMemory, Source
from mmmodal.records.json_text import parse_json
from mmmodal.utf8 import NotUtf8Error, decoded

__all__ = ["decoder"]

NUMBERS = {
    "int": "<q",
    "uint8": "<B",
    "uint16": "<H",
    "uint32": "<I",
    "uint64": "<Q",
    "int8": "<b",
    "int16": "<h",
    "int32": "<i",
    "int64": "<q",
    "float16": "<e",
    "float32": "<f",
    "float64": "<d",
}
MEDIA = {"bytes", "jpeg", "png"}
LISTS = {"list[jpeg]": 4, "list[png]": 4, "jpeg_array": 0, "jpegarray": 0}
"""Encodings of several media, and the unused bytes in front."""

DTYPES = {
    8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 18: "float16", 32: "uint32", 33: "int32",
    34: "float32", 64: "uint64", 65: "int64", 66: "float64",
}  # fmt: skip
"""The types of arrays by the numbers that stand for them."""

REFUSED = {
    "pkl": "pickles run code when they are read; write the column as json",
    "pil": "raw pixels are not read; write the column as jpeg or png",
    "list[pil]": "raw pixels are not read; write the column as list[jpeg] or list[png]",
}


def decoder(encoding: str, where: str) -> Callable[[bytes], Any]:
    """Return the function that decodes the values of an encoding.

    Args:
        encoding: the encoding.
        where: the row and column, for errors and as the origin of media.

    Raises:
        RecordError: values of the encoding are not read.
    """
    name, _, arguments = encoding.partition(":")
    if name in NUMBERS:
        return lambda data: struct.unpack(NUMBERS[name], data)[0]
    if name in MEDIA:
        return lambda data: Source(where, cell=InMemory(data))
    if name in LISTS:
        return partial(_media, where=where, unused=LISTS[name])
    if name == "ndarray":
        return partial(_array, arguments=arguments)
    texts = {"str": str, "str_int": int, "str_float": float, "str_decimal": float}
    if name in texts:
        return lambda data: texts[name](_text(data, where))
    if name == "json":
        return lambda data: parse_json(data, where)
    reason = REFUSED.get(name, "this encoding is unknown; write the column as json")
    raise RecordError(where, f"its values are of the encoding {encoding!r:.40}: {reason}")


def _text(data: bytes, where: str) -> str:
    try:
        return decoded(data)
    except NotUtf8Error as error:
        raise RecordError(where, f"{error}; write the shard again as UTF-8") from None


def _media(data: bytes, *, where: str, unused: int) -> list[Source]:
    """Return media whose number and sizes stand in front of them."""
    (number,) = struct.unpack_from("<I", data, unused)
    sizes = struct.unpack_from(f"<{number}I", data, unused + 4)
    edges = [unused + 4 + 4 * number]
    for size in sizes:
        edges.append(edges[-1] + size)
    if edges[-1] != len(data):
        raise ValueError("sizes that do not fit")
    return [
        Source(f"{where}.{index}", cell=InMemory(data[begin:end]))
        for index, (begin, end) in enumerate(pairwise(edges))
    ]


def _array(data: bytes, *, arguments: str) -> Any:
    """Return an array as lists; its type and shape are arguments, or stand in front of it."""
    dtype, _, fixed = arguments.partition(":")
    place = 0
    if not dtype:
        dtype, place = DTYPES.get(data[0], ""), 1
    if dtype not in DTYPES.values():
        raise ValueError("no type of an array")
    if fixed:
        shape = tuple(map(int, fixed.split(",")))
    else:
        axes, width = data[place] >> 2, 1 << (data[place] & 3)
        place += 1
        shape = tuple(np.frombuffer(data, f"<u{width}", axes, place).tolist())
        place += axes * width
    values = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), offset=place)
    return values.reshape(shape).tolist()
