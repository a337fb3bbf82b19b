"""Settings as frozen data: unknown keys are errors, and all errors are reported together."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import CoreSchema, core_schema

from mmmodal.errors import ConfigError
from mmmodal.utf8 import NotUtf8Error, read_text

__all__ = [
    "SET_BY_SOURCE",
    "Config",
    "Deferred",
    "Lines",
    "OfSource",
    "apply_overrides",
    "read_yaml",
    "validate",
    "without_password",
    "yaml_lines",
]


class Config(BaseModel):
    """Base class of all options: immutable; an unknown key is an error.

    The docstring below a field is its description.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
    )


C = TypeVar("C", bound=BaseModel)
T = TypeVar("T")

SET_BY_SOURCE = "set by source"

OfSource = Annotated[T, SET_BY_SOURCE]
"""The type of an option whose value comes from the part's source; its default is not listed."""


@dataclass(frozen=True)
class Deferred:
    """Mark a section whose schema is computed at validation: `Annotated[Config, Deferred(schema)]`.

    A schema with sections for the parts of plugins can then be defined without loading a plugin.
    """

    schema: Callable[[], type[BaseModel]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Validate a mapping by the current schema; keep an instance unchanged."""

        def read(value: Any) -> Any:
            given = isinstance(value, BaseModel)
            return value if given else self.schema().model_validate(value)

        shown = core_schema.plain_serializer_function_ser_schema(
            lambda value, info: value.model_dump(mode=info.mode), info_arg=True
        )
        return core_schema.no_info_plain_validator_function(read, serialization=shown)


Lines = Mapping[tuple[str, ...], int]
"""The line of each setting in its file, by its path: `("train", "parts")`."""


def validate(
    model: type[C], values: Mapping[str, Any], where: str, lines: Lines | None = None
) -> C:
    """Return an instance of `model` with `values`, or raise a ConfigError that lists all problems.

    Args:
        model: the schema.
        values: the settings.
        where: the name of the settings in the error.
        lines: the line of each setting in its file, which the error names.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = [(_line(lines or {}, i["loc"]), _explain(model, i)) for i in _causes(error)]
        found.sort(key=lambda pair: pair[0])  # in the order of the file; those without a line first
        problems = [f"line {line}: {text}" if line else text for line, text in found]
        raise ConfigError(where, list(dict.fromkeys(problems))) from None


def _causes(error: ValidationError) -> list[Any]:
    """Return the errors without "too short" of a list whose invalid items are errors already."""
    items = error.errors()
    around = {item["loc"][:n] for item in items for n in range(len(item["loc"]))}
    return [i for i in items if i["type"] != "too_short" or i["loc"] not in around]


def _line(lines: Lines, place: Sequence[int | str]) -> int:
    """Return the line of a setting or of the section around it; 0 if the file has neither."""
    path = tuple(map(str, place))
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 0)


def _explain(model: type[BaseModel], item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"]) or "value"
    if item["type"] == "extra_forbidden":
        *sections, key = map(str, item["loc"])
        known = item.get("ctx", {}).get("known") or known_keys(model, sections)
        return f"unknown key {path!r}{suggest(key, known)}"
    if item["type"] == "missing":
        return f"{path!r} is missing"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    given = without_password(repr(item["input"]))
    shown = given if len(given) <= 80 else f"{given[:77]}…"
    return f"{path!r}: {message[:1].lower()}{message[1:]} (got {shown}){_meant(item)}"


def without_password(text: str) -> str:
    """Return `text` without the user names and passwords of the URLs in it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "…@", text)


def _meant(item: Any) -> str:
    """Return ". Did you mean …?" if the value resembles an allowed word; else an empty text."""
    if item["type"] != "literal_error" or not isinstance(item["input"], str):
        return ""
    close = closest(item["input"], re.findall(r"'([^']+)'", item["ctx"]["expected"]))
    return f". Did you mean {close!r}?" if close else ""


def known_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that are allowed in the section of `model` at `path`."""
    section: type[BaseModel] | None = model
    for name in path:
        if not name.isdigit():  # a number is the index of a list's item
            section = section_of(section, name)
    return list(section.model_fields) if section else []


def section_of(model: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """Return the model of the section `name`, or of its items; None unless there is exactly one."""
    field = model.model_fields.get(name) if model else None
    for mark in field.metadata if field else ():
        if isinstance(mark, Deferred):
            return mark.schema()
    kinds = map(_item, alternatives(field.annotation)) if field else ()
    found = [kind for kind in kinds if _is_model(kind)]
    return found[0] if len(found) == 1 else None


def _item(kind: Any) -> Any:
    """Return the type of the items of a tuple of any length; any other type unchanged."""
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows: for `int | None` both."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from alternatives(inner)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ". Did you mean …?" if `word` resembles a known name; else the list of those."""
    names = sorted(known)
    if close := closest(word, names):
        return f". Did you mean {close!r}?"
    return f". Known: {', '.join(names)}" if names else ""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that `word` resembles, ignoring case; None if there is none."""
    names = {_plain(name): name for name in known}
    close = difflib.get_close_matches(_plain(word), names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses a duplicate key; PyYAML silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", mark)
        return super().construct_mapping(node, deep)


def yaml_lines(path: Path) -> Lines:
    """Return the line of each setting of a YAML file that `read_yaml` accepts."""
    found: dict[tuple[str, ...], int] = {}

    def walk(node: yaml.Node | None, place: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                found[inner] = key.start_mark.line + 1
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                inner = (*place, str(number))
                found[inner] = value.start_mark.line + 1
                walk(value, inner)

    walk(yaml.compose(read_text(path), _Loader), ())
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file; a syntax error names the line."""
    try:
        values = yaml.load(read_text(path), _Loader)
    except FileNotFoundError:
        raise ConfigError(str(path), ["no such file"]) from None
    except NotUtf8Error as error:
        raise ConfigError(str(path), [f"{error}; save it as UTF-8"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read ({type(error).__name__})"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None)
        reason = (
            problem if isinstance(error, yaml.constructor.ConstructorError) else "not valid YAML"
        )
        raise ConfigError(str(path), [f"{line}{reason}"]) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(str(path), ["the top level must be a mapping of settings"])
    return values


def apply_overrides(
    values: Mapping[str, Any], overrides: Sequence[str], model: type[BaseModel] | None = None
) -> dict[str, Any]:
    """Return `values` with `key=value` overrides applied; a dotted key sets a key of a section.

    A value is parsed as YAML, so `lr=1e-4`, `bf16=true` and `data=[a.jsonl, b.jsonl]` have types.
    If the setting of `model` is a text or a path, the value is not parsed: `out=2024` is a name.
    """
    result: dict[str, Any] = {**values}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError("command line", [f"{text!r} is not of the form key=value"])
        *sections, last = key.split(".")
        target = result
        for section in sections:
            inner = target.get(section)
            if inner is not None and not isinstance(inner, dict):
                raise ConfigError("command line", [f"{section!r} in {text!r} is not a section"])
            target[section] = target = {**(inner or {})}
        as_typed = value not in ("", "null") and _takes_text_only(model, key)
        target[last] = value if as_typed else parse_value(value)
    return result


def _takes_text_only(model: type[BaseModel] | None, key: str) -> bool:
    *sections, last = key.split(".")
    for section in sections:
        model = section_of(model, section)
    field = model.model_fields.get(last) if model else None
    kinds = set(alternatives(field.annotation)) - {type(None)} if field else set()
    return bool(kinds) and all(_is_text(kind) for kind in kinds)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, (str, PurePath))


def parse_value(text: str) -> Any:
    """Parse a value of the command line as YAML; 1e-4, a text in YAML 1.1, is a number here."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value) if value[:1] in "+-.0123456789" else value
        except ValueError:
            return value
    return value
