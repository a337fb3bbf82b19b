"""The limits of media that a user sets: for all modalities, and for each one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, create_model, model_validator

from mmmodal.config import Deferred, validate
from mmmodal.contracts import Modality
from mmmodal.media.limits import Limits
from mmmodal.plugins import Registry, registry

__all__ = ["LimitSettings", "OpenLimitSettings", "limit_schema", "read_limits"]


class LimitSettings(Limits):
    """`{file_bytes: …, image: {pixels: …}}`; `limit_schema` adds a section for each modality."""

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: Any) -> Any:
        return _renamed(values) if isinstance(values, Mapping) else values

    def of(self, modality: Modality) -> Any:
        """Return the limits of a modality, an instance of its `Limits`.

        A limit of the modality precedes one for all modalities, and that precedes its default.
        """
        own: Limits | None = getattr(self, modality.name, None)
        chosen = {name: getattr(self, name) for name in self.model_fields_set & set(_GENERAL)}
        if own is not None:
            chosen |= {name: getattr(own, name) for name in own.model_fields_set}
        return modality.Limits(**chosen)

    def chosen(self) -> dict[str, Any]:
        """Return the limits that differ from the defaults, as JSON values."""
        return self.model_dump(mode="json", exclude_defaults=True)


_GENERAL = tuple(Limits.model_fields)


def limit_schema() -> type[LimitSettings]:
    """Return the schema of limits with a section for each modality of the installed plugins."""
    return _schema(registry())


@functools.cache
def _schema(known: Registry) -> type[LimitSettings]:
    fields: dict[str, Any] = {
        name: (item.part.Limits, Field(default_factory=item.part.Limits))
        for name, item in known.provided("modalities")
    }
    return create_model("LimitSettings", __base__=LimitSettings, **fields)


OpenLimitSettings = Annotated[LimitSettings, Deferred(limit_schema)]
"""The type of a setting with sections for the modalities that are installed at validation."""


def read_limits(given: Mapping[str, Any]) -> LimitSettings:
    """Return the limits of `{"image.pixels": "200000000"}`, the form of the command line.

    Raises:
        ConfigError: a limit is unknown, or its value is not a number.
    """
    values: dict[str, Any] = {}
    for key, value in given.items():
        section, _, name = key.removeprefix("limits.").rpartition(".")
        target = values.setdefault(section, {}) if section else values
        target[name] = value
    return validate(limit_schema(), values, "--limit")


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits with `image_pixels`, the form before sections, as `image: {pixels: …}`."""
    moved: dict[str, Any] = {}
    for key, value in values.items():
        modality, name = _old_name(str(key))
        if name:
            moved.setdefault(modality, {})[name] = value
            new = f"limits.{modality}.{name}"
            renamed = f"limits.{key} was renamed to {new}; the next release accepts only {new}"
            warnings.warn(renamed, FutureWarning, stacklevel=2)
    if not moved:
        return dict(values)
    kept = {key: value for key, value in values.items() if not _old_name(str(key))[1]}
    for modality, own in moved.items():
        section = kept.get(modality, {})
        if isinstance(section, Mapping) and (twice := sorted(own.keys() & section.keys())):
            raise ValueError(f"{modality}.{twice[0]} is given twice, under its old name too")
        kept[modality] = {**own, **section} if isinstance(section, Mapping) else section
    return kept


def _old_name(key: str) -> tuple[str, str]:
    """Return the modality and the limit of a key of the old form; empty texts for any other key."""
    for modality, item in registry().provided("modalities"):
        name = key.removeprefix(f"{modality}_")
        if name != key and key not in _GENERAL and name in item.part.Limits.model_fields:
            return modality, name
    return "", ""
