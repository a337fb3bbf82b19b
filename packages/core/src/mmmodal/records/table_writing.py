"""Write native rows as Parquet, perhaps with their media inside, as `datasets` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from mmmodal.plugins import registry
from mmmodal.records.json_text import dump_json
from mmmodal.records.placement import Carried

if TYPE_CHECKING:
    import pyarrow

__all__ = ["TableRow", "write_parquet"]

TableRow = tuple[str, dict[str, Any], list[tuple[str, Carried]]]
"""The position of a row for errors, its values, and kind and bytes of each medium inside."""

GROUP_ROWS = 1000  # small row groups, so that one record can be read without many others
GROUP_BYTES = 64 * 1024 * 1024
GROUP_MEDIA = 8 * 1024 * 1024  # bytes of media, which are read for each medium


def write_parquet(rows: Iterable[TableRow], file: BinaryIO, *, media: bool = False) -> None:
    """Write rows as Parquet.

    Args:
        rows: the rows.
        file: the file to write.
        media: write the columns of media, such as `images` and `audios`, which hold the media of
            each modality in the order of `media`.

    Raises:
        RecordError: a value cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    schema = _with_media(_schema()) if media else _schema()
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for group in _grouped(rows):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def _grouped(rows: Iterable[TableRow]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = held = 0
    for where, row, media in rows:
        # Parquet must not hold values that JSON cannot, as the record could not be converted back.
        size += len(dump_json(row, where))
        held += sum(len(medium.data) for _, medium in media)
        if "meta" in row:
            row["meta"] = dump_json(row["meta"], where).decode("utf-8")
        row["messages"] = [_message(message, where) for message in row["messages"]]
        group.append(row | _columns(media))
        if len(group) == GROUP_ROWS or size > GROUP_BYTES or held > GROUP_MEDIA:
            yield group
            group, size, held = [], 0, 0
    if group:
        yield group


def _message(message: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a message with the options of its scorer as JSON text."""
    expect = message.get("expect", {})
    if "options" not in expect:
        return message
    options = dump_json(expect["options"], where).decode("utf-8")
    return {**message, "expect": {**expect, "options": options}}


def _columns(media: Iterable[tuple[str, Carried]]) -> dict[str, list[dict[str, Any]]]:
    # Programs that read the lists expect an empty one where there is no medium.
    found: dict[str, list[dict[str, Any]]]
    found = {f"{kind}s": [] for kind in registry().names("modalities")}
    for kind, medium in media:
        value = {"bytes": medium.data, "path": medium.name}
        found.setdefault(f"{kind}s", []).append(value)
    return found


def _schema() -> pyarrow.Schema:
    """Return the columns of a table of records.

    `meta` and the options of scorers are JSON text, as their keys are not fixed.
    """
    import pyarrow as pa

    part = pa.struct({"type": pa.string(), "text": pa.string(), "media": pa.int32()})
    expect = pa.struct(
        {"scored": pa.bool_(), "scorer": pa.string(), "options": pa.string()}
        | dict.fromkeys(("references", "choices", "tags"), pa.list_(pa.string()))
    )
    message = pa.struct({"role": pa.string(), "content": pa.list_(part), "expect": expect})
    medium = pa.struct({"kind": pa.string(), "uri": pa.string(), "sha256": pa.string()})
    columns = {"id": pa.string(), "messages": pa.list_(message), "media": pa.list_(medium)}
    return pa.schema(columns | dict.fromkeys(("lang", "group", "cluster", "meta"), pa.string()))


def _with_media(schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return a schema with a list of media of each modality, as features of `datasets`."""
    import datasets

    features = datasets.Features.from_arrow_schema(schema)
    bare = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    for name, item in registry().provided("modalities"):
        feature = getattr(datasets, item.part.feature or "-", None)
        features[f"{name}s"] = [feature() if feature else bare]
    return features.arrow_schema
