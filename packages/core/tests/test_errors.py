"""Errors as callers of transformers catch them."""

from pathlib import Path

import pytest

import mmmodal.errors
from mmmodal.errors import MMModalError, RecordError, SpliceError
from mmmodal.records.rows import system_errors

FAILURES = {
    "PluginError": "of an installation",
    "PublishingError": "of the network or the Hub",
    "FeatureCacheError": "of a disk",
    "TrainingError": "of a run",
}
"""The errors that are no refusals of a value, and what they are failures of."""

KINDS = [kind for name in mmmodal.errors.__all__ if name.endswith("Error")
         if (kind := getattr(mmmodal.errors, name)) is not MMModalError]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_refusals_are_value_errors_and_failures_are_not(kind: type[MMModalError]) -> None:
    assert issubclass(kind, MMModalError)
    assert issubclass(kind, ValueError) == (kind.__name__ not in FAILURES)


def test_an_error_within_a_file_is_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not valid JSON"), system_errors("rows.jsonl"):
        raise RecordError("rows.jsonl:3", "not valid JSON")
    with pytest.raises(SpliceError, match="two slots"), system_errors("rows.jsonl"):
        raise SpliceError("two slots")


def test_a_name_with_a_nul_character_is_a_missing_file() -> None:
    with pytest.raises(RecordError, match="no such file"), system_errors("a"):
        open("a\0b")  # noqa: SIM115
