"""The shipped parts are whole, small, as good as they say, and damage to them is told."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from mmmodal.cli.main import run
from mmmodal_playground.build import translation
from mmmodal_playground.build.quality import (
    hearing_quality,
    language_quality,
    translation_quality,
    vision_quality,
)
from mmmodal_playground.parts import PARTS, DamagedPartError, part_folder, part_quality, shipped


def mean(measured: dict[str, float]) -> float:
    return sum(measured.values()) / len(measured)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped(), tmp_path / "trained"))


def test_all_parts_together_take_at_most_30_megabytes() -> None:
    weights = list(shipped().glob("*/*.safetensors"))
    assert len(weights) == len(PARTS)
    assert sum(path.stat().st_size for path in weights) <= 30e6


def test_nothing_that_is_shipped_is_a_pickle() -> None:
    kinds = {path.suffix for path in shipped().rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".jinja", ".txt", ".log"}


def test_a_part_with_another_checksum_is_refused_by_name(copy: Path) -> None:
    weights = copy / "whisper" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(DamagedPartError, match=r"model\.safetensors: has been changed; .*"):
        part_folder("whisper", copy)
    assert part_folder("siglip", copy) == copy / "siglip"


def test_a_missing_file_of_a_part_is_refused_by_name(copy: Path) -> None:
    (copy / "llama" / "config.json").unlink()
    with pytest.raises(DamagedPartError, match=r"config\.json: is missing; install it again"):
        part_folder("llama", copy)


def test_missing_checksums_are_told(copy: Path) -> None:
    (copy / "checksums.json").write_text("no json")
    with pytest.raises(DamagedPartError, match=r"checksums\.json: cannot be read"):
        part_folder("llama", copy)


def test_parts_are_listed_with_their_quality(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["playground", "parts", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(PARTS)
    assert all(row["quality"] == part_quality(row["name"]) for row in rows)


def test_siglip_finds_scenes_it_never_saw() -> None:
    measured = vision_quality(part_folder("siglip"), 256)
    assert measured == pytest.approx(part_quality("siglip"), abs=0.02)


def test_whisper_understands_phrases_it_never_heard() -> None:
    known = part_quality("whisper")
    measured = hearing_quality(part_folder("whisper"), 40)
    assert measured.keys() == known.keys()
    assert mean(measured) == pytest.approx(mean(known), abs=0.1)


def test_llama_answers_from_descriptions() -> None:
    known = part_quality("llama")
    measured = language_quality(part_folder("llama"), 20)
    assert measured.keys() == known.keys()
    assert mean(measured) == pytest.approx(mean(known), abs=0.1)


def test_the_translator_translates_both_ways() -> None:
    measured = translation_quality(part_folder("translator"), 60)
    assert mean(measured) == pytest.approx(mean(part_quality("translator")), abs=0.1)
    assert mean(measured) > 0.85


def test_the_translator_is_an_ordinary_seq2seq_model() -> None:
    folder = part_folder("translator")
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(translation.PREFIXES["ms"] + "where is the red circle", return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=20)
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "di mana bulatan merah"


def test_sentences_to_translate_are_held_out_too() -> None:
    chance = random.Random(0)
    train = {translation.any_pair("train", chance)["en"] for _ in range(2000)}
    test = {translation.any_pair("test", chance)["en"] for _ in range(500)}
    assert not train & test
