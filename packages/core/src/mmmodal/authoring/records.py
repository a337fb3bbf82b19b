"""Records, the rows of data files that hold them, and formats of rows."""

from mmmodal.contracts.format import Format, Place
from mmmodal.contracts.record import (
    ContentPart,
    Expectation,
    MediaRef,
    Message,
    Record,
    text_message,
)
from mmmodal.records.addresses import addresses
from mmmodal.records.dataset import RecordDataset, Scanned, read_records, scan
from mmmodal.records.detection import find_format, formats, read_row, unused_keys
from mmmodal.records.files import open_rows
from mmmodal.records.foreign import validated
from mmmodal.records.json_text import dump_json, parse_json
from mmmodal.records.paths import local_path
from mmmodal.records.remainder import texts_in, unread_medium
from mmmodal.records.rows import Row, RowSource
from mmmodal.records.shard import Shards
from mmmodal.records.shards import find_shards
from mmmodal.records.tar_writing import write_tar
from mmmodal.records.writing import write_records

__all__ = [
    "ContentPart",
    "Expectation",
    "Format",
    "MediaRef",
    "Message",
    "Place",
    "Record",
    "RecordDataset",
    "Row",
    "RowSource",
    "Scanned",
    "Shards",
    "addresses",
    "dump_json",
    "find_format",
    "find_shards",
    "formats",
    "local_path",
    "open_rows",
    "parse_json",
    "read_records",
    "read_row",
    "scan",
    "text_message",
    "texts_in",
    "unread_medium",
    "unused_keys",
    "validated",
    "write_records",
    "write_tar",
]
