"""Data in the layouts in which people hold them, of generated pictures and sounds."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from mds_shards import write_mds
from media_files import encode_picture, encode_sound
from mmmodal.records.dataset import read_records
from mmmodal.records.writing import write_records
from worlds import picture, write_lines

__all__ = ["LAYOUTS", "MEDIA", "hub_files", "write_media"]

NUMBERS = range(3)
COLOURS = ("red", "green", "blue")


def png(number: int) -> bytes:
    """Return a picture."""
    return encode_picture(picture(number), "PNG")


def wav(number: int) -> bytes:
    """Return a sound."""
    return encode_sound(np.full(1600, number / 10), "WAV", "PCM_16")


def write_media(folder: Path) -> None:
    """Write the pictures and sounds that rows of layouts name."""
    for number in NUMBERS:
        (folder / f"{number}.png").write_bytes(png(number))
        (folder / f"{number}.wav").write_bytes(wav(number))


def lines(name: str, row: Callable[[int], Mapping[str, Any]]) -> Callable[[Path], dict[str, Any]]:
    """Return what writes rows as JSON lines, or as a JSON list."""

    def write(folder: Path) -> dict[str, Any]:
        rows = [row(number) for number in NUMBERS]
        path = folder / name
        if path.suffix == ".json":
            path.write_text(json.dumps(rows, indent=1))
        else:
            write_lines(path, rows)
        return {"path": str(path)}

    return write


def table(
    name: str, row: Callable[[int], Mapping[str, Any]], **features: Any
) -> Callable[[Path], dict[str, Any]]:
    """Return what writes rows with media inside: as Parquet, or as `datasets` saves them."""

    def write(folder: Path) -> dict[str, Any]:
        data = datasets.Dataset.from_list([dict(row(number)) for number in NUMBERS])
        for column, feature in features.items():
            data = data.cast_column(column, feature)
        path = folder / name
        if path.suffix == ".parquet":
            data.to_parquet(path)
        else:
            data.save_to_disk(path)
        return {"path": str(path)}

    return write


def tar(folder: Path) -> dict[str, Any]:
    """Write shards of WebDataset: `KEY.jpg` and `KEY.txt`."""
    for shard in range(2):
        with tarfile.open(folder / f"pairs-{shard:03}.tar", "w") as out:
            for number in NUMBERS:
                files = {"png": png(number), "txt": COLOURS[number].encode()}
                for ending, data in files.items():
                    member = tarfile.TarInfo(f"{shard}{number}.{ending}")
                    member.size = len(data)
                    out.addfile(member, io.BytesIO(data))
    return {"path": str(folder / "pairs-{000..001}.tar")}


def exported(folder: Path) -> dict[str, Any]:
    """Write a tar shard of whole records, as `mmmodal data convert` does."""
    source = lines("swift.jsonl", swift)(folder)["path"]
    records = [record for _, record in read_records(source)]
    write_records(records, folder / "records.tar", media="embed", root=folder)
    return {"path": str(folder / "records.tar")}


def mds(folder: Path) -> dict[str, Any]:
    """Write a folder of MDS."""
    rows = [{"image": png(number), "caption": COLOURS[number].encode()} for number in NUMBERS]
    return {"path": str(write_mds(folder / "mds", {"image": "png", "caption": "str"}, rows))}


def described(folder: Path) -> dict[str, Any]:
    """Write rows of other names, and the `dataset_info.json` of LLaMA-Factory that tells them."""
    lines("talks.jsonl", talk)(folder)
    entry = {
        "file_name": "talks.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "talk", "images": "pictures", "system": "rules"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }  # fmt: skip
    path = folder / "dataset_info.json"
    path.write_text(json.dumps({"talks": entry, "other": {"hf_hub_url": "a/b"}}))
    return {"path": str(path), "name": "talks"}


def said(number: int, question: Any, **more: Any) -> dict[str, Any]:
    """Return messages of a question and its answer."""
    answer = {"role": "assistant", "content": COLOURS[number]}
    return {"messages": [{"role": "user", "content": question}, answer], **more}


def swift(number: int) -> dict[str, Any]:
    files = {"images": [f"{number}.png"], "audios": [f"{number}.wav"]}
    return said(number, "<image>Which colour? <audio>", **files)


def sharegpt(number: int) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": "<image>Which colour?"},
        {"from": "gpt", "value": COLOURS[number]},
    ]
    return {"conversations": turns, "images": [f"{number}.png"], "system": "Be brief."}


def talk(number: int) -> dict[str, Any]:
    row = said(number, "<image>Which colour?")
    return {"talk": row["messages"], "pictures": [f"{number}.png"], "rules": "Be brief."}


def llava(number: int) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": "<image>\nWhich colour?"},
        {"from": "gpt", "value": COLOURS[number]},
    ]
    return {"id": str(number), "image": f"{number}.png", "conversations": turns}


def trl(number: int) -> dict[str, Any]:
    asked = [{"type": "image", "text": None}, {"type": "text", "text": "Which colour?"}]
    answered = [{"type": "text", "text": COLOURS[number]}]
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": answered},
    ]
    return {"messages": messages, "images": [{"bytes": png(number), "path": None}]}


def completion(number: int) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": "Which colour?"}],
        "completion": [{"role": "assistant", "content": COLOURS[number]}],
        "images": [f"{number}.png"],
    }


def qwen(number: int) -> dict[str, Any]:
    parts = [{"type": "image", "image": f"{number}.png"}, {"type": "audio", "audio": f"{number}.wav"}]  # fmt: skip
    return said(number, [*parts, {"type": "text", "text": "Which colour?"}])


def openai(number: int) -> dict[str, Any]:
    shown = {"type": "image_url", "image_url": {"url": f"{number}.png", "detail": "low"}}
    return said(number, [{"type": "text", "text": "Which colour?"}, shown])


def common_voice(number: int) -> dict[str, Any]:
    return {
        "client_id": "x",
        "path": f"{number}.mp3",
        "audio": {"bytes": wav(number), "path": f"{number}.mp3"},
        "sentence": COLOURS[number],
        "locale": "ms",
        "up_votes": 2,
    }


LAYOUTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ms-swift": lines("swift.jsonl", swift),
    "LLaMA-Factory": lines("sharegpt.json", sharegpt),
    "LLaMA-Factory described": described,
    "LLaVA": lines("llava.json", llava),
    "Parquet of captions": table(
        "captions.parquet",
        lambda n: {"image": {"bytes": png(n), "path": None}, "caption": COLOURS[n]},
        image=datasets.Image(),
    ),
    "Parquet of transcripts": table("voices.parquet", common_voice, audio=datasets.Audio()),
    "saved folder": table(
        "saved",
        lambda n: {"audio": {"bytes": wav(n), "path": f"{n}.wav"}, "text": COLOURS[n]},
        audio=datasets.Audio(),
    ),
    "TRL": table("trl.parquet", trl, images=datasets.List(datasets.Image())),
    "TRL prompts": lines("completions.jsonl", completion),
    "Qwen": lines("qwen.jsonl", qwen),
    "OpenAI": lines("openai.jsonl", openai),
    "image, text": lines("t.jsonl", lambda n: {"image": f"{n}.png", "text": COLOURS[n]}),
    "image, caption": lines("c.jsonl", lambda n: {"image": f"{n}.png", "caption": COLOURS[n]}),
    "audio, sentence": lines("s.jsonl", lambda n: {"audio": f"{n}.wav", "sentence": COLOURS[n]}),
    "audio, text": lines("x.jsonl", lambda n: {"audio": f"{n}.wav", "text": COLOURS[n]}),
    "VQA": lines(
        "vqa.jsonl",
        lambda n: {"image": f"{n}.png", "question": "Which colour?", "answer": COLOURS[n]},
    ),
    "VQA with answers": lines(
        "answers.jsonl",
        lambda n: {"image": f"{n}.png", "question": "Which?", "answers": ["x", COLOURS[n]]},
    ),
    "VQA with choices": lines(
        "choices.jsonl",
        lambda n: {"image": f"{n}.png", "question": "Which?", "choices": COLOURS, "answer": n},
    ),
    "query, response": lines(
        "query.jsonl",
        lambda n: {"query": "Which colour?", "response": COLOURS[n], "images": [f"{n}.png"]},
    ),
    "alpaca": lines(
        "alpaca.json",
        lambda n: {
            "instruction": "Look.",
            "input": "<image>Which colour?",
            "output": COLOURS[n],
            "images": [f"{n}.png"],
        },
    ),
    "WebDataset": tar,
    "tar of records": exported,
    "MDS": mds,
}
"""What writes the data of a layout into a folder of media; it returns its entry in a recipe."""

MEDIA = {
    "ms-swift": 2,
    "Qwen": 2,
    "tar of records": 2,
}
"""The media of a record, where there is not one."""


def hub_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a data set of the Hub, of two shards and another split."""
    entry = LAYOUTS["Parquet of captions"](folder)
    data = Path(entry["path"]).read_bytes()
    names = ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")
    return {f"data/{name}.parquet": data for name in names}
