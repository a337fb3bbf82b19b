"""What layouts of benchmarks have in common: keys under other names, tags, clusters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from mmmodal.authoring.parts import RecordError
from mmmodal.authoring.records import Format, Place, Record, find_format

__all__ = ["Layout"]

COMMON = ("id", "lang", "group", "cluster", "expect")
"""The keys that rows of all formats may have."""


class Layout(Format):
    """Rows of a benchmark, which another format reads after their keys were renamed.

    The keys that are not renamed are kept in `meta`.
    """

    reader: ClassVar[str] = "vqa"
    """The name of the format that reads the renamed rows."""

    renamed: ClassVar[tuple[str, ...]]
    """The keys that `adapted` turns into others."""

    tagged: ClassVar[tuple[str, ...]] = ()
    """The keys whose values become tags, such as `task: Counting`."""

    kept: ClassVar[tuple[str, ...]] = ()
    """The keys that are kept in `meta` although they hold turns or name media."""

    @abstractmethod
    def adapted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the renamed keys of a row, with `cluster` and `expect` where the layout has them.

        Raises:
            ValueError: the row is not valid.
        """

    def uses(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys that are renamed, and those that all records have."""
        return {*self.renamed, *COMMON}

    def ignores(self, row: Mapping[str, Any]) -> Collection[str]:
        """Return the keys that are kept unread."""
        return self.kept

    def read(self, row: Mapping[str, Any], place: Place) -> list[Record]:
        """Return the record of a row."""
        if not self.matches(row):
            raise RecordError(place.where, f"a row of the format {self.name!r} has {self.shape}")
        rest = {key: value for key, value in row.items() if key not in self.renamed}
        try:
            adapted = self.adapted(row)
        except ValueError as error:
            raise RecordError(place.where, str(error)) from None
        expect = {"tags": [*self._tags(row)], **adapted.pop("expect", {})}
        if isinstance(own := rest.get("expect"), Mapping):
            rest["expect"] = {**expect, **own}
        given = {key: value for key, value in rest.items() if value is not None}
        return find_format(self.reader).read({"expect": expect, **adapted, **given}, place)

    def _tags(self, row: Mapping[str, Any]) -> Iterator[str]:
        for key in self.tagged:
            value = row.get(key)
            if isinstance(value, str | int) and str(value).strip():
                yield f"{key}: {value}"
