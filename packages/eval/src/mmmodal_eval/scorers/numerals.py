"""Numbers in texts: digits by the rules of a language, and number words in English and Malay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

__all__ = ["Numeral", "numerals"]

COMMA_LANGUAGES = """
az be bg bs ca cs da de el es et eu fi fr gl hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt ro
ru sk sl sq sr sv tr uk uz vi
"""
COMMA = frozenset(COMMA_LANGUAGES.split())
"""Languages that write 1.234,5 (or 1 234,5) for 1,234.5."""

BELOW_TWENTY = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
BY_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
MALAY = "kosong satu dua tiga empat lima enam tujuh lapan sembilan"

UNITS = {word: value for value, word in enumerate(BELOW_TWENTY.split())}
TENS = {word: 10 * value for value, word in enumerate(BY_TEN.split(), start=2)}
SATUAN = {word: value for value, word in enumerate(MALAY.split())} | {"sifar": 0, "delapan": 8}
SINGLE = {"none": 0, "tiada": 0, "sepuluh": 10, "sebelas": 11, "seratus": 100}
SINGLE |= {"seorang": 1, "seekor": 1, "sebuah": 1}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
SCALES |= {"ribu": 10**3, "juta": 10**6, "bilion": 10**9}

SPACES = "\u00a0\u202f\u2009'’"
DIGITS = re.compile(
    r"(?:(?<![^\W_])|(?<=RM)|(?<=Rp)|(?<=US)|(?<=USD)|(?<=MYR))"
    rf"(?P<sign>(?<![\w)])[-−+])?(?P<body>\d+(?:[.,{SPACES}]\d+)*)"
    r"(?P<power>[eE][-+]?\d+(?!\w))?(?P<percent>\s?[%٪]|\s(?:percent|per cent|peratus)\b)?"
)
FRACTIONAL = re.compile(r"(?<![\w.,])[.,](?=\d)")
WORD = re.compile(r"[^\W\d_]+")
BEFORE_ONE = "the this that these those no each every any which another other"
POINTING = frozenset(BEFORE_ONE.split())
"""Words before `one` that make it no number."""


class Numeral(NamedTuple):
    """A number in a text."""

    value: Decimal
    percent: bool


def numerals(text: str, language: str | None = None) -> list[Numeral]:
    """Return the numbers in a text, in order; number words count only where there are no digits.

    Digits are grouped and have decimals as the language writes them: 1,234.5 or 1.234,5. Where
    both signs stand in a number, the last one is the decimal sign in every language. Number words
    are English and Malay, up to 999, and may be followed by thousand, million or billion.

    Args:
        text: the text.
        language: of the text, such as `en`; None: as in English.
    """
    plain = FRACTIONAL.sub(lambda match: f"0{match[0]}", text)
    decimal = "," if (language or "").replace("_", "-").partition("-")[0].lower() in COMMA else "."
    found = [each for match in DIGITS.finditer(plain) for each in _written(match, plain, decimal)]
    return found or [Numeral(Decimal(value), percent) for value, percent in _spoken(text)]


def _written(match: re.Match[str], text: str, decimal: str) -> Iterator[Numeral]:
    """Yield the number of digits in a text; several of a list, a date or a version."""
    bodies = _plain(match["body"], decimal)
    sign = "-" if match["sign"] in ("-", "−") else ""
    for number, body in enumerate(bodies):
        value = Decimal((sign if number == 0 else "") + body)
        if number == len(bodies) - 1:
            value = value.scaleb(int((match["power"] or "e0")[1:])) * _scale(text[match.end() :])
        yield Numeral(value, bool(match["percent"]))


def _scale(following: str) -> int:
    """Return what the word after a number multiplies it with."""
    word = WORD.match(following, 1) if following.startswith(" ") else None
    return SCALES.get(word[0].casefold(), 1) if word else 1


def _plain(body: str, decimal: str) -> list[str]:
    """Return digits as Python reads them: without groups, with a point before decimals."""
    body = re.sub(rf"[{SPACES}](?=\d)", "", body)
    signs = [character for character in body if character in ".,"]
    if not signs:
        return [body]
    whole, _, rest = body.rpartition(signs[-1])
    if len(set(signs)) > 1:
        return [re.sub("[.,]", "", whole) + "." + rest]
    grouped = re.fullmatch(r"[1-9]\d{0,2}([.,]\d{3})+", body)
    if grouped and (len(signs) > 1 or signs[0] != decimal):
        return [re.sub("[.,]", "", body)]
    return body.split(signs[0]) if len(signs) > 1 else [f"{whole}.{rest}"]


def _spoken(text: str) -> Iterator[tuple[int, bool]]:
    """Yield the numbers that a text spells, and whether percent follows."""
    words = WORD.findall(text.casefold())
    at = 0
    while at < len(words):
        read = _hundreds(words, at)
        if read is None or (words[at] == "one" and at and words[at - 1] in POINTING):
            at += 1
            continue
        value, at = read
        while at < len(words) and words[at] in SCALES:
            value, at = value * SCALES[words[at]], at + 1
        yield value, words[at : at + 1] in (["percent"], ["peratus"])


def _hundreds(words: list[str], at: int) -> tuple[int, int] | None:
    """Return the number below 1,000 that begins at a word, and the index after it."""
    first = _tens(words, at)
    value, after = first or (1, at)
    following = words[after : after + 1]
    hundred = following in (["hundred"], ["ratus"]) and (first is None or value < 10)
    if first is not None and words[at] == "seratus":
        hundred, value, after = True, 1, at
    if not hundred:
        return first
    value, after = value * 100, after + 1
    rest = _tens(words, after + (words[after : after + 1] == ["and"]))
    return (value + rest[0], rest[1]) if rest and rest[0] < 100 else (value, after)


def _tens(words: list[str], at: int) -> tuple[int, int] | None:
    """Return the number below 100, or `seratus`, that begins at a word, and the index after it."""
    word, *more = [*words[at : at + 3], ""]
    if word in SINGLE or word in UNITS:
        return SINGLE.get(word, UNITS.get(word, 0)), at + 1
    if word in TENS:
        unit = UNITS.get(more[0], 0)
        return (TENS[word] + unit, at + 2) if 0 < unit < 10 else (TENS[word], at + 1)
    if word not in SATUAN:
        return None
    if more[0] == "belas":
        return SATUAN[word] + 10, at + 2
    if more[0] == "puluh":
        unit = SATUAN.get(words[at + 2], 0) if at + 2 < len(words) else 0
        return SATUAN[word] * 10 + unit, at + 2 + (unit > 0)
    return SATUAN[word], at + 1
