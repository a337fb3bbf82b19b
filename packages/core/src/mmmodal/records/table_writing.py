"""Write rows as Parquet, perhaps with their media inside, as `datasets` shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from mmmodal.contracts.format import Format
from mmmodal.contracts.record import (
    ContentPart,
    Expectation,
    MediaRef,
    Message,
    Record,
    text_message,
)
from mmmodal.errors import RecordError
from mmmodal.plugins import registry
from mmmodal.records.json_text import dump_json, printable
from mmmodal.records.placement import Carried

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FIRST", "TableLayout", "TableRow", "layout_of", "native_layout", "write_parquet"]

TableRow = tuple[str, dict[str, Any], list[tuple[str, Carried]]]
"""The position of a row for errors, its values, and kind and bytes of each medium inside."""

FIRST = 1000
"""The number of records whose `meta` says which columns a table of another format has."""

GROUP_ROWS = 1000  # small row groups, so that one record can be read without many others
GROUP_BYTES = 64 * 1024 * 1024
GROUP_MEDIA = 8 * 1024 * 1024  # bytes of media, which are read for each medium


@dataclass(frozen=True)
class TableLayout:
    """The columns of a table, besides those of media inside it."""

    schema: pyarrow.Schema
    exact: frozenset[str] = frozenset()
    """Columns of any values, of which it is checked that the table holds them unchanged."""

    expects: bool = True
    """Whether messages say how answers to them are scored."""


def native_layout() -> TableLayout:
    """Return the columns of native rows.

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
    texts = dict.fromkeys(("lang", "group", "cluster", "meta"), pa.string())
    return TableLayout(pa.schema(columns | texts))


def layout_of(form: Format, first: Sequence[tuple[str, Record]], *, media: bool) -> TableLayout:
    """Return the columns of rows of another format, which has a column for each key of `meta`.

    Args:
        form: the format; it lists media.
        first: the first records, with their positions.
        media: whether the rows hold their media, in columns of their own.

    Raises:
        RecordError: the values of a key are of several types.
    """
    import pyarrow as pa

    expects = any(m.expect is not None for _, record in first for m in record.messages)
    sample = _as_texts(form.write([_sample(expects)], "the first row"), "the first row")
    inside = _lists() if media else set()
    columns = {key: pa.array([value]).type for key, value in sample.items() if key not in inside}
    further: dict[str, list[Any]] = {}
    for where, record in first:
        for key, value in form.write([record], where).items():
            if key not in sample:
                further.setdefault(key, []).append(value)
    types = {key: _type(key, values, first[0][0]) for key, values in further.items()}
    known = {key: kind for key, kind in types.items() if not pa.types.is_null(kind)}
    return TableLayout(pa.schema(columns | known), frozenset(known), expects)


def write_parquet(
    rows: Iterable[TableRow], file: BinaryIO, layout: TableLayout, *, media: bool = False
) -> None:
    """Write rows as Parquet.

    Args:
        rows: the rows.
        file: the file to write.
        layout: the columns.
        media: write the columns of media, such as `images` and `audios`, which hold the media of
            each modality in the order of the row's.

    Raises:
        RecordError: a value cannot be written.
    """
    import pyarrow.parquet

    schema = _with_media(layout.schema) if media else layout.schema
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for group in _grouped(rows, layout, media=media):
            writer.write_table(_table(group, schema, layout.exact))


def _grouped(
    rows: Iterable[TableRow], layout: TableLayout, *, media: bool
) -> Iterator[list[tuple[str, Any]]]:
    group: list[tuple[str, Any]] = []
    size = held = 0
    for where, row, inside in rows:
        # Parquet must not hold values that JSON cannot, as the record could not be converted back.
        size += len(dump_json(row, where))
        held += sum(len(medium.data) for _, medium in inside)
        if "meta" in row:
            row["meta"] = dump_json(row["meta"], where).decode("utf-8")
        texts = _as_texts(row, where, layout.expects)
        group.append((where, texts | (_columns(inside) if media else {})))
        if len(group) == GROUP_ROWS or size > GROUP_BYTES or held > GROUP_MEDIA:
            yield group
            group, size, held = [], 0, 0
    if group:
        yield group


def _as_texts(row: dict[str, Any], where: str, expects: bool = True) -> dict[str, Any]:
    """Return a row with the options of the scorers of its messages as JSON texts.

    Raises:
        RecordError: a message has a scorer, but the table has no column for them.
    """
    return {
        key: [_message(each, where, expects) for each in value] if _holds_messages(value) else value
        for key, value in row.items()
    }


def _holds_messages(value: Any) -> bool:
    """Return whether a value is a list of messages of which one says how it is scored."""
    return isinstance(value, list) and any(
        isinstance(each, dict) and isinstance(each.get("expect"), dict) for each in value
    )


def _message(message: dict[str, Any], where: str, expects: bool) -> dict[str, Any]:
    expect = message.get("expect")
    if expect is None:
        return message
    if not expects:
        reason = f"it has `expect`, and none of the first {FIRST:,} records has it"
        raise RecordError(where, f"{reason}; {_instead()}")
    if "options" not in expect:
        return message
    options = dump_json(expect["options"], where).decode("utf-8")
    return {**message, "expect": {**expect, "options": options}}


def _table(
    group: Sequence[tuple[str, Any]], schema: pyarrow.Schema, exact: Collection[str]
) -> pyarrow.Table:
    """Return rows as a table; raises a RecordError for a value that it does not hold unchanged."""
    import pyarrow as pa

    for where, row in group:
        for key, value in row.items():
            if value is not None and key not in schema.names:
                reason = f"{key!r} is no column, as none of the first {FIRST:,} records has it"
                raise RecordError(where, printable(f"{reason}; {_instead()}"))
    for name in sorted(exact):
        values = [row.get(name) for _, row in group]
        kept = _kept(values, schema.field(name).type)
        for (where, _), value, other in zip(group, values, kept, strict=True):
            if value != other:
                reason = f"{name!r} is of another type than in the first records"
                raise RecordError(where, printable(f"{reason}; {_instead()}"))
    return pa.Table.from_pylist([row for _, row in group], schema)


def _kept(values: list[Any], kind: pyarrow.DataType) -> list[Any]:
    """Return values as a column of a type has them; others if it cannot hold them."""
    import pyarrow as pa

    try:
        kept: list[Any] = pa.array(values, kind).to_pylist()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return [_kept([value], kind)[0] for value in values] if len(values) > 1 else [object()]
    return kept


def _type(key: str, values: list[Any], where: str) -> pyarrow.DataType:
    """Return the type of a column with values; raises a RecordError if there is none."""
    import pyarrow as pa

    try:
        return pa.array(values).type
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        reason = f"{key!r} of this and other records has values of several types"
        raise RecordError(where, printable(f"{reason}; {_instead()}")) from None


def _instead() -> str:
    return "write .jsonl, or native rows, whose `meta` holds anything"


def _sample(expects: bool) -> Record:
    """Return a record with all that rows may have besides `meta`."""
    kinds = registry().names("modalities")
    parts = [ContentPart(type=kind, media=index) for index, kind in enumerate(kinds)]
    asked = Message(role="user", content=(*parts, ContentPart(type="text", text="q")))
    answer = text_message("assistant", "a")
    if expects:
        texts = dict.fromkeys(("references", "choices", "tags"), ("r",))
        scored: dict[str, Any] = {"scored": False, "scorer": "s", "options": {"o": 1}, **texts}
        answer = answer.model_copy(update={"expect": Expectation.model_validate(scored)})
    messages = (text_message("system", "s"), asked, answer)
    return Record(
        id="0", messages=messages, media=tuple(MediaRef(kind=kind, uri="m") for kind in kinds)
    )


def _lists() -> set[str]:
    """Return the columns of media."""
    return {f"{kind}s" for kind in registry().names("modalities")}


def _columns(media: Iterable[tuple[str, Carried]]) -> dict[str, list[dict[str, Any]]]:
    # Programs that read the lists expect an empty one where there is no medium.
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(_lists())}
    for kind, medium in media:
        value = {"bytes": medium.data, "path": medium.name}
        found.setdefault(f"{kind}s", []).append(value)
    return found


def _with_media(schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return a schema with a list of media of each modality, as features of `datasets`."""
    import datasets

    features = datasets.Features.from_arrow_schema(schema)
    bare = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    for name, item in registry().provided("modalities"):
        feature = getattr(datasets, item.part.feature or "-", None)
        features[f"{name}s"] = [feature() if feature else bare]
    return features.arrow_schema
