"""Settings: every problem at once, with hints, and overrides from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError, field_validator

from mmmodal.config import (
    Config,
    apply_overrides,
    closest,
    parse_value,
    read_yaml,
    validate,
    yaml_lines,
)
from mmmodal.errors import ConfigError, MMModalError


class Optimizer(Config):
    rate: float = 1e-4
    warmup: float = 0.0


class Recipe(Config):
    model: Path
    out: str | None = None
    stage: Literal["align", "instruct"] = "align"
    steps: int = 10
    """How many steps to take."""
    optimizer: Optimizer = Optimizer()
    extra: Optimizer | None = None
    data: str | list[str] = "a.jsonl"

    @field_validator("steps")
    @classmethod
    def _positive(cls, value: int) -> int:
        if value < 1:
            raise ValueError("At least one step is needed")
        return value


def problems(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        validate(Recipe, values, "recipe.yaml")
    between = " " if len(caught.value.problems) == 1 else "\n  "
    assert str(caught.value) == between.join(["recipe.yaml:", *caught.value.problems])
    return caught.value.problems


def test_all_problems_are_told_at_once() -> None:
    told = problems({"stepps": 3, "steps": "many", "optimizer": {"rat": 1, "warmup": []}})

    assert len(told) == 5
    assert "'model' is missing" in told
    assert "unknown key 'stepps'. Did you mean 'steps'?" in told
    assert "unknown key 'optimizer.rat'. Did you mean 'rate'?" in told
    assert any(problem.startswith("'steps': ") and "(got 'many')" in problem for problem in told)


def test_problems_come_in_the_order_of_the_file_each_on_a_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("steps: many\nstepps: 3\noptimizer:\n  rat: 1\n")
    with pytest.raises(ConfigError) as caught:
        validate(Recipe, read_yaml(path), "recipe.yaml", yaml_lines(path))
    lines = str(caught.value).splitlines()
    assert lines[0] == "recipe.yaml:" and lines[1] == "  'model' is missing"
    begins = [line.split(":")[0] for line in lines[2:]]
    assert begins == ["  line 1", "  line 2", "  line 4"]


def test_an_unlike_key_lists_what_is_known() -> None:
    (told,) = problems({"model": "m", "optimizer": {"zzz": 1}})

    assert told == "unknown key 'optimizer.zzz'. Known: rate, warmup"


def test_a_key_of_an_optional_section_has_a_hint_too() -> None:
    (told,) = problems({"model": "m", "extra": {"raet": 1}})

    assert told == "unknown key 'extra.raet'. Did you mean 'rate'?"


def test_a_validator_of_the_schema_speaks_for_itself() -> None:
    assert problems({"model": "m", "steps": 0}) == ("'steps': at least one step is needed (got 0)",)


def test_a_huge_value_is_not_repeated_whole() -> None:
    (told,) = problems({"model": "m", "steps": "9" * 5000 + "x"})

    assert len(told) < 250


def test_keys_that_are_no_text_are_errors() -> None:
    assert problems({"model": "m", 3: 4})  # type: ignore[dict-item]


def test_a_config_error_is_one_a_user_can_act_on() -> None:
    assert issubclass(ConfigError, MMModalError)


def test_settings_do_not_change() -> None:
    recipe = validate(Recipe, {"model": "m"}, "recipe")

    with pytest.raises(ValidationError):
        recipe.steps = 3  # type: ignore[misc]


def test_the_docstring_of_a_field_is_its_description() -> None:
    assert Recipe.model_fields["steps"].description == "How many steps to take."


def test_overrides_have_types() -> None:
    texts = ["rate=1e-4", "bf16=true", "n=3", "files=[a.jsonl, b.jsonl]", "name=x=y", "none="]

    assert apply_overrides({}, texts) == {
        "rate": 1e-4,
        "bf16": True,
        "n": 3,
        "files": ["a.jsonl", "b.jsonl"],
        "name": "x=y",
        "none": None,
    }


def test_overrides_reach_into_sections_and_leave_the_original_alone() -> None:
    values = {"optimizer": {"rate": 1.0, "warmup": 0.1}, "steps": 3}

    changed = apply_overrides(values, ["optimizer.rate=2", "optimizer.warmup=0.5", "new.a.b=1"])

    assert changed["optimizer"] == {"rate": 2, "warmup": 0.5}
    assert changed["new"] == {"a": {"b": 1}}
    assert values == {"optimizer": {"rate": 1.0, "warmup": 0.1}, "steps": 3}


def test_text_settings_are_taken_as_typed() -> None:
    texts = ["out=2024-01-01", "model=007", "steps=7", "data=[a, b]", "optimizer.rate=1e-3"]

    values = apply_overrides({}, texts, Recipe)

    assert values["out"] == "2024-01-01" and values["model"] == "007"
    recipe = validate(Recipe, values, "recipe")
    assert recipe.model == Path("007") and recipe.steps == 7
    assert recipe.data == ["a", "b"] and recipe.optimizer.rate == 1e-3


def test_a_text_setting_can_be_unset() -> None:
    assert apply_overrides({"out": "x"}, ["out=null"], Recipe) == {"out": None}


@pytest.mark.parametrize("text", ["steps", "=3", "a..b=1", ".a=1", ""])
def test_an_override_without_key_or_value_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form key=value"):
        apply_overrides({}, [text])


def test_an_override_into_a_value_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"'steps' in 'steps\.x=1' is not a section"):
        apply_overrides({"steps": 3}, ["steps.x=1"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("-2E5", -2e5), ("[", "["), ("a: b: c", "a: b: c"), ("3x", "3x"), ("1_0", 10)],
)
def test_a_value_of_the_command_line_is_read(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("base: &base {rate: 1}\noptimizer:\n  <<: *base\n  warmup: 2\n")

    assert read_yaml(path)["optimizer"] == {"rate": 1, "warmup": 2}


def test_an_empty_file_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")

    assert read_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: 1\nb: [\n", "line 3: not valid YAML"),
        (b"a: 1\nb: 2\na: 3\n", "line 3: 'a' is given twice"),
        (b"- a\n", "the top level must be a mapping of settings"),
        (b"\xff\xfe\x00", "it is UTF-16 text, not UTF-8; save it as UTF-8"),
        (b"a: !!python/object/apply:os.getcwd []\n", "line 1: "),
    ],
)
def test_a_bad_file_names_the_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_a_missing_file_or_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)


def test_close_names_are_found_whatever_their_case() -> None:
    assert closest("SigLIP", ["siglip", "whisper"]) == "siglip"
    assert closest("max-steps", ["max_steps", "steps"]) == "max_steps"
    assert closest("zzz", ["siglip"]) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            "a: 1\nb: caf\xe9\n".encode("latin-1"),
            r"a\.yaml: not UTF-8 text \(line 2, byte 7\); save",
        ),
        ("a: 1\n".encode("utf-16"), r"a\.yaml: it is UTF-16 text, not UTF-8; save it as UTF-8"),
    ],
)
def test_settings_that_are_not_utf8_are_one_error(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.yaml").write_bytes(data)

    with pytest.raises(ConfigError, match=reason):
        read_yaml(tmp_path / "a.yaml")


def test_settings_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("a: é\n".encode("utf-8-sig"))

    assert read_yaml(tmp_path / "a.yaml") == {"a": "é"}
    assert yaml_lines(tmp_path / "a.yaml") == {("a",): 1}
