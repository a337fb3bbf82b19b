"""Numbers as texts write and spell them, and which are close enough."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mmmodal_eval.contracts import Expected
from mmmodal_eval.parts import scorer
from mmmodal_eval.scorers.numerals import numerals


@pytest.mark.parametrize(
    ("text", "language", "values"),
    [
        ("5", None, "5"),
        ("There are 5.", "en", "5"),
        ("5 of 7 dogs", "en", "5 7"),
        ("1,234.5", "en", "1234.5"),
        ("1.234,5", "en", "1234.5"),
        ("1.234,5", "de", "1234.5"),
        ("1,234.5", "de", "1234.5"),
        ("1,234", "en", "1234"),
        ("1,234", "ms", "1234"),
        ("1,234", "de", "1.234"),
        ("1.234", "en", "1.234"),
        ("1.234", "de", "1234"),
        ("1.234", "id-ID", "1234"),
        ("1,5", "en", "1.5"),
        ("1,5", "de", "1.5"),
        ("0,125", "en", "0.125"),
        ("12,345,678", "en", "12345678"),
        ("12.345.678,90", "de", "12345678.90"),
        ("1234,567", "en", "1234.567"),
        ("1\u00a0234,5", "fr", "1234.5"),
        ("1\u202f234", "fr", "1234"),
        ("1'234.5", "de", "1234.5"),
        ("1, 2, 3", "en", "1 2 3"),
        ("1,2,3", "en", "1 2 3"),
        ("12.05.2024", "de", "12 5 2024"),
        (".5", "en", "0.5"),
        ("-3", "en", "-3"),
        ("−3.5", "en", "-3.5"),
        ("+3", "en", "3"),
        ("3-5", "en", "3 5"),
        ("ke-3", "ms", "3"),
        ("RM5.50", "ms", "5.50"),
        ("$1,000", "en", "1000"),
        ("5kg", "en", "5"),
        ("B12", "en", ""),
        ("H2O", "en", ""),
        ("1e3", "en", "1E+3"),
        ("1.2 million", "en", "1200000.0"),
        ("3 juta", "ms", "3000000"),
        ("3:45", "en", "3 45"),
        ("٣", None, "3"),
        ("five", "en", "5"),
        ("Five dogs and two cats", "en", "5 2"),
        ("twenty-one", "en", "21"),
        ("Twenty one", "en", "21"),
        ("one hundred", "en", "100"),
        ("a hundred", "en", "100"),
        ("two hundred and five", "en", "205"),
        ("five thousand", "en", "5000"),
        ("the left one", "en", "1"),
        ("that one", "en", ""),
        ("No one.", "en", ""),
        ("none", "en", "0"),
        ("someone", "en", ""),
        ("3 of them, the red one is left", "en", "3"),
        ("satu", "ms", "1"),
        ("dua belas", "ms", "12"),
        ("Sebelas.", "ms", "11"),
        ("dua puluh", "ms", "20"),
        ("dua puluh satu ekor", "ms", "21"),
        ("sembilan puluh sembilan", "ms", "99"),
        ("seratus", "ms", "100"),
        ("seratus lima", "ms", "105"),
        ("dua ratus lima puluh", "ms", "250"),
        ("lima ribu", "ms", "5000"),
        ("Ada seekor kucing", "ms", "1"),
        ("tiada", "ms", "0"),
        ("lima", None, "5"),
        ("ten", "ms", "10"),
        ("", None, ""),
        ("many", "en", ""),
        ("😀", None, ""),
    ],
)
def test_numbers_of_a_text(text: str, language: str | None, values: str) -> None:
    assert [each.value for each in numerals(text, language)] == [Decimal(x) for x in values.split()]


@pytest.mark.parametrize(
    ("options", "reference", "answer", "value"),
    [
        ({}, "5", "5", 1),
        ({}, "5", "There are five.", 1),
        ({}, "5", "5.0", 1),
        ({}, "5", "Ada lima ekor.", 1),
        ({}, "five", "5", 1),
        ({}, "5", "6", 0),
        ({}, "5", "2 and 3 make 5", 1),
        ({}, "5", "5 of 7", 0),
        ({"take": "first"}, "5", "5 of 7", 1),
        ({"take": "only"}, "5", "5 of 7", 0),
        ({"take": "only"}, "5", "5, yes 5", 1),
        ({}, "5", "", 0),
        ({}, "5", "many", 0),
        ({"absolute": 0.1}, "5", "5.1", 1),
        ({"absolute": 0.1}, "5", "5.11", 0),
        ({"absolute": 0.3}, "0.1", "0.4", 1),
        ({"relative": 0.05}, "200", "210", 1),
        ({"relative": 0.05}, "200", "211", 0),
        ({"relative": 0.05}, "-200", "-210", 1),
        ({"relative": 0.05}, "0", "0.01", 0),
        ({}, "45%", "45", 1),
        ({}, "45", "45 percent", 1),
        ({}, "45%", "0.45", 1),
        ({}, "0.45", "45 peratus", 1),
        ({}, "45%", "0.45%", 0),
        ({}, "-3", "3", 0),
        ({}, "1234.5", "1,234.50", 1),
    ],
)
def test_a_number_within_the_tolerance_is_right(
    options: dict[str, Any], reference: str, answer: str, value: float
) -> None:
    expected = Expected((reference,), language="en")
    found = scorer("number", options)
    found.check(expected)

    assert found.score(answer, expected).counts == (value, 1.0)


def test_any_reference_will_do_and_the_number_is_told() -> None:
    score = scorer("number").score("It is 12 %", Expected(("11", "12"), language="en"))

    assert (score.counts, score.read) == ((1.0, 1.0), "12 %")


@pytest.mark.parametrize(
    ("reference", "message"), [("many", "holds no number"), ("2 of 5", "holds several numbers")]
)
def test_a_reference_that_is_no_number_is_refused(reference: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scorer("number").check(Expected(("5", reference)))
