"""Templates of dialogues about an image, with fields of its record."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator, model_validator

from mmmodal.authoring.parts import Config
from mmmodal_datagen.contracts import Medium, Turn
from mmmodal_datagen.prompts.wording import Wording, same_languages

__all__ = ["Exchange", "Template", "fields_of", "written"]

FIELD = re.compile(r"\{([^{}]+)\}")


class Exchange(Config):
    """A question and its answer, each in one or several wordings; one is drawn.

    `{name}` in a text is replaced by that field of the image's record, `{engine.power}` by a field
    of a nested record, `{description}` by the caption or title.
    """

    ask: tuple[Wording, ...] = Field(min_length=1)
    answer: tuple[Wording, ...] = Field(min_length=1)

    @field_validator("ask", "answer", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict | Wording) else value


class Template(Config):
    """A dialogue about one image."""

    exchanges: tuple[Exchange, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_in_the_same_languages(self) -> Template:
        if not same_languages(list(self._wordings())):
            raise ValueError("all texts must be in the same languages: `en`, `ms` or both")
        return self

    def missing(self, fields: Mapping[str, Any]) -> list[str]:
        """Return the names of its fields that a record does not have."""
        texts = (text for w in self._wordings() for text in (w.en, w.ms) if text)
        names = {name for text in texts for name in FIELD.findall(text)}
        return sorted(name for name in names if _value(name, fields) is None)

    def turns(self, fields: Mapping[str, Any], chance: random.Random) -> list[Turn]:
        """Return the turns of the dialogue, without the image."""

        def fill(text: str) -> str:
            return FIELD.sub(lambda found: written(_value(found[1], fields)), text)

        made = []
        for exchange in self.exchanges:
            for role, wordings in (("user", exchange.ask), ("assistant", exchange.answer)):
                piece = chance.choice(wordings).piece(fill)
                made.append(Turn(role=role, content=(piece,)))
        return made

    def _wordings(self) -> Sequence[Wording]:
        return [w for each in self.exchanges for w in (*each.ask, *each.answer)]


def fields_of(medium: Medium) -> dict[str, Any]:
    """Return the fields of a medium: its record, and its `description`."""
    said = {"description": medium.description} if medium.description else {}
    return {**(medium.facts or {}), **said}


def written(value: Any) -> str:
    """Return a field as text: a record as lines, a list of records as paragraphs.

    A nested record follows below its name.
    """
    if isinstance(value, Mapping):
        return "\n".join(_line(str(name), inner) for name, inner in value.items())
    if isinstance(value, list | tuple):
        parts = [written(each) for each in value]
        return "\n\n".join(parts) if any("\n" in part for part in parts) else ", ".join(parts)
    return str(value).strip()


def _line(name: str, value: Any) -> str:
    text = written(value)
    return f"{name}:\n{text}" if isinstance(value, Mapping) or "\n" in text else f"{name}: {text}"


def _value(name: str, fields: Mapping[str, Any]) -> Any:
    """Return a field, also a nested one; None if it is missing or empty."""
    found: Any = fields
    for part in (name,) if name in fields else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return None if found is None or not written(found) else found
