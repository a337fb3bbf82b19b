"""Strict JSON: values that other programs cannot read are refused with a reason."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from mmmodal.errors import RecordError
from mmmodal.utf8 import NotUtf8Error, decoded

__all__ = ["check_object", "dump_json", "parse_json", "printable"]

MOST_DEPTH = 100  # nested lists and objects; our own format has seven
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# `str.splitlines` and JavaScript break lines at these characters too.
LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class _Refused(ValueError):
    """JSON that Python accepts, but other programs do not."""


def check_object(row: Any, where: str) -> None:
    """Check that a row is a JSON object.

    Raises:
        RecordError: it is not.
    """
    if not isinstance(row, Mapping):
        got = type(row).__name__
        raise RecordError(where, f"a row must be a JSON object {{…}}, got {got}")


def parse_json(text: bytes | str, where: str) -> Any:
    """Return one parsed JSON value, without a byte order mark.

    Raises:
        RecordError: it is not valid JSON, or has NaN, a duplicate key or a lone surrogate.
    """
    try:
        string = decoded(text) if isinstance(text, bytes) else text
        value = DECODER.decode(string)
        if string.count("[") + string.count("{") > MOST_DEPTH:
            _check_depth(value)
        if SURROGATE.search(string) or (isinstance(text, str) and not text.isascii()):
            _check_characters(value)
        return value
    except NotUtf8Error as error:
        reason = f"{error}; save the file as UTF-8"
    except RecursionError:
        reason = f"nested more than {MOST_DEPTH} levels deep; flatten it"
    except json.JSONDecodeError as error:
        problem = f"{error.msg[:1].lower()}{error.msg[1:]}"
        reason = f"not valid JSON: {problem} (at character {error.pos + 1:,}); correct it"
    except _Refused as error:
        reason = str(error)
    except ValueError:
        reason = "a number has more digits than can be read; write it as text"
    raise RecordError(where, reason)


def dump_json(value: Any, where: str) -> bytes:
    """Return one value as a line of JSON, without a line break.

    Raises:
        RecordError: JSON cannot represent it.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).translate(LINE_ENDS)
        return text.encode("utf-8")
    except UnicodeEncodeError:
        reason = "a text has half a character (a lone surrogate), which no file can; remove it"
    except RecursionError:
        reason = f"nested more than {MOST_DEPTH} levels deep, or contained in itself"
    except (TypeError, ValueError) as error:
        reason = f"JSON cannot represent it: {error}"
    raise RecordError(where, reason)


def printable(text: object) -> str:
    """Return a text that any terminal and file can hold, for a name of any characters."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"the key {printable(repr(twice))} is given twice; remove one of them")
    return result


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not valid JSON; write a number or null")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused(f"the number {text[:40]} is too large; write it as text")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            child
            for holder in level
            for child in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _Refused(f"nested more than {MOST_DEPTH} levels deep; flatten it")


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise _Refused(
            "a text has half a character (a lone surrogate such as \\ud83d, as from a cut-off "
            "emoji); remove it"
        ) from None
