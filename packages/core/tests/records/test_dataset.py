"""Records by order and by index: bad rows, root maps, worker processes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import datasets
import pytest

from mmmodal.contracts.record import Record
from mmmodal.errors import ConfigError, RecordError
from mmmodal.records.dataset import RecordDataset, read_records
from mmmodal.records.writing import write_records
from worlds import PAPER_EXAMPLES, record, write_lines


def row(number: int, **changes: Any) -> dict[str, Any]:
    shown = ("image", f"images/{number}.png")
    return record(f"r{number}", shown, answer=f"answer {number}", **changes)


@pytest.fixture(params=["jsonl", "json", "parquet", "saved"])
def ten(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file of ten records in each form that is read."""
    path = tmp_path / f"data.{request.param}"
    rows = [row(number) for number in range(10)]
    if request.param == "jsonl":
        return write_lines(path, rows)
    if request.param == "json":
        path.write_text(json.dumps(rows, indent=1))
    elif request.param == "parquet":
        write_records([Record.model_validate(each) for each in rows], path)
    else:
        datasets.Dataset.from_list(rows).save_to_disk(path)
    return path


def test_records_by_index_are_those_by_order_in_every_form(ten: Path) -> None:
    ordered = list(read_records(ten))
    dataset = RecordDataset(ten)

    assert len(dataset) == len(ordered) == 10
    assert [dataset[index] for index in (3, 9, 0, -1)] == [ordered[index] for index in (3, 9, 0, 9)]
    assert [record.id for _, record in ordered] == [f"r{number}" for number in range(10)]
    assert list(dataset) == ordered  # type: ignore[call-overload]  # by __getitem__ and IndexError
    assert dataset.root(0) == ten.parent


def test_a_dataset_reads_records_in_another_process(ten: Path) -> None:
    from torch.utils.data import DataLoader

    dataset = RecordDataset(ten)
    expected = [dataset[index] for index in range(10)]

    # Of a new process only Parquet asks more: its open file is not sent.
    for context, workers in (("fork", 2), *((("spawn", 1),) if ten.suffix == ".parquet" else ())):
        loader: Any = DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_size=4,
            num_workers=workers,
            collate_fn=list,
            multiprocessing_context=context,
        )
        assert [item for batch in loader for item in batch] == expected


def test_a_dataset_holds_no_records(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl", [row(number, meta={"x": "y" * 1000}) for number in range(200)]
    )

    assert len(pickle.dumps(RecordDataset(path))) < 200 * 48 + 2000


def test_both_languages_of_a_row_are_records_of_the_dataset() -> None:
    dataset = RecordDataset(PAPER_EXAMPLES)

    found = [(where.rpartition(":")[2], record.lang) for where, record in dataset]  # type: ignore[attr-defined]
    assert found == [
        ("1", "en"), ("1", "ms"), ("2", None), ("3", None), ("4", "en"), ("4", "ms"), ("5", "en"), ("5", "ms"), ("6", None),
    ]  # fmt: skip


def test_rows_of_several_formats_may_be_in_one_file(tmp_path: Path) -> None:
    llava = {"image": "b.jpg", "conversations": [{"from": "human", "value": "<image>x"}]}
    openai = {"messages": [{"role": "user", "content": "x"}]}
    path = write_lines(tmp_path / "a.jsonl", [row(1), llava, openai])

    assert [record.id for _, record in read_records(path)] == ["r1", "a-2", "a-3"]
    with pytest.raises(RecordError, match=r"a\.jsonl:1: 'conversations' is missing"):
        list(read_records(path, format="llava"))


def test_the_first_bad_row_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row(1), "", "{", row(4, media=[])])

    with pytest.raises(RecordError, match=r"a\.jsonl:3: not valid JSON"):
        list(read_records(path))
    with pytest.raises(RecordError, match=r"a\.jsonl:3: not valid JSON"):
        RecordDataset(path)


def test_bad_rows_are_left_out_and_told_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row(1), "{", row(3, media=[]), row(4)])
    told: list[str] = []

    read = [record.id for _, record in read_records(path, on_error=lambda e: told.append(e.where))]
    dataset = RecordDataset(path, on_error=lambda e: told.append(e.where))

    assert read == ["r1", "r4"]
    assert [dataset[index][1].id for index in range(len(dataset))] == read
    assert [where.rpartition(":")[2] for where in told] == ["2", "3", "2", "3"]
    assert dataset.skipped == 2


def test_a_file_that_changes_while_it_is_used_is_an_error_that_names_the_row(
    tmp_path: Path,
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row(1), row(2)])
    dataset = RecordDataset(path)
    write_lines(path, ["x" * 400])

    with pytest.raises(RecordError, match=r"a\.jsonl:2: not valid JSON"):
        dataset[1]
    path.unlink()
    with pytest.raises(RecordError, match=r"a\.jsonl: no such file"):
        dataset[0]


def test_an_index_outside_is_an_index_error(tmp_path: Path) -> None:
    dataset = RecordDataset(write_lines(tmp_path / "a.jsonl", [row(1)]))

    for index in (1, -2):
        with pytest.raises(IndexError, match=f"record {index} of 1"):
            dataset[index]


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row(1), "{"])

    assert next(read_records(path))[1].id == "r1"


def test_records_that_datasets_loaded_from_our_files_are_the_same(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row(number) for number in range(3)])
    expected = [record for _, record in read_records(path)]
    write_records(expected, tmp_path / "a.parquet")

    for builder, name in (("json", "a.jsonl"), ("parquet", "a.parquet")):
        loaded = datasets.load_dataset(
            builder,
            data_files=str(tmp_path / name),
            split="train",
            cache_dir=str(tmp_path / "cache"),
        )
        loaded.save_to_disk(tmp_path / builder)
        loaded.to_parquet(tmp_path / "again.parquet")

        for again in (tmp_path / builder, tmp_path / "again.parquet"):
            assert [record for _, record in read_records(again)] == expected


# Root maps


def uris(path: Path, *maps: str) -> list[str]:
    return [ref.uri for _, record in read_records(path, root_maps=maps) for ref in record.media]


def test_root_maps_rewrite_the_absolute_paths_that_the_paper_prints(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text(PAPER_EXAMPLES.read_text("utf-8").splitlines()[5], encoding="utf-8")

    assert uris(path, "/home/ubuntu=media", "/home/ubuntu/output-audio/=sounds") == [
        "sounds/0-3201-1.mp3",
        "media/filtered-llava-images/000000416018.jpg",
        "media/filtered-llava-images/000000128752.jpg",
        "media/filtered-llava-images/000000501015.jpg",
    ]
    assert uris(path, "/home/ubuntu=")[0] == "output-audio/0-3201-1.mp3"
    assert uris(path, "/home/ubuntu=/")[0] == "/output-audio/0-3201-1.mp3"
    assert RecordDataset(path, root_maps=["/home/ubuntu="])[0][1].media[0].uri.startswith("output")


def test_root_maps_take_whole_folder_names_and_touch_nothing_else(tmp_path: Path) -> None:
    media = [
        {"kind": "image", "uri": uri} for uri in ("/data/a", "/data2/a", "data/a", "https://x/a")
    ]
    content = [{"type": "image", "media": index} for index in range(4)]
    path = write_lines(
        tmp_path / "a.jsonl", [row(1, media=media, messages=[{"role": "user", "content": content}])]
    )

    assert uris(path, "/data=b", "https://x=c") == ["b/a", "/data2/a", "data/a", "c/a"]


@pytest.mark.parametrize("text", ["/data", "=b", "/=b"])
def test_a_wrong_root_map_says_what_one_looks_like(tmp_path: Path, text: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row(1)])

    with pytest.raises(ConfigError, match=rf"root map: '{text}' is not of the form OLD=NEW"):
        list(read_records(path, root_maps=[text]))


def test_an_unknown_format_is_told_before_reading(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown format 'natve'. Did you mean 'native'"):
        RecordDataset(write_lines(tmp_path / "a.jsonl", []), format="natve")
