"""Model arguments as lmms-eval parses them."""

from __future__ import annotations

from typing import Any

import pytest

from mmmodal.authoring.parts import ConfigError
from mmmodal_lmms_eval.arguments import read_arguments


def test_arguments_are_those_of_loading_and_asking() -> None:
    given = {"model": "chatty", "dtype": "bf16", "batch_size": "16", "leave_out": "seed+fps"}
    read = read_arguments(given)
    assert read.loading() == {
        "base": None,
        "dtype": "bf16",
        "device": None,
        "attn_implementation": None,
        "quantization": None,
    }
    assert (read.model, read.batch_size, read.leave_out) == ("chatty", 16, ("seed", "fps"))
    assert read_arguments({"model": 7}).model == "7"  # lmms-eval reads a name of digits as a number
    assert read_arguments({"model": "chatty"}).batch_size == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "model"),
        ({"model": "a", "batch_size": "auto"}, "batch_size"),
        ({"model": "a", "batch_size": 0}, "batch_size"),
        ({"model": "a", "max_batch_size": 4}, "max_batch_size"),
        ({"model": "a", "dtyp": "bf16"}, "dtype"),
    ],
)
def test_other_arguments_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"model arguments: .*{reason}"):
        read_arguments(given)
