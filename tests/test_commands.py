"""The commands as a user calls them, and what they say when something is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmmodal.cli.main import run
from mmmodal_playground.records import make_records
from mmmodal_playground.tiny_language import tiny_language_model
from worlds import encoders_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def parts(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The parts with a language model of a short context."""
    folder = tmp_path_factory.mktemp("lm")
    return {**parts, "lm": tiny_language_model(folder, "llama", positions=512)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("world"), 4).parent


@pytest.fixture(scope="module")
def model(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("composed") / "model"
    code = run(["compose", str(out), *both(parts)])
    assert code == 0
    return out


def both(parts: dict[str, Path]) -> list[str]:
    encoders = [f"{kind}={encoder}" for kind, encoder in encoders_of(parts).items()]
    return ["--backbone", f"auto:{parts['lm']}", "--encoder", encoders[0], "--encoder", encoders[1]]


def refused(result: tuple[int, str, str], *words: str, code: int = 1) -> None:
    """Check for one clear line on stderr, nothing on stdout, and the exit code."""
    found, out, err = result
    lines = [line for line in err.splitlines() if line.strip()]
    assert found == code, err
    assert out == ""
    assert "Traceback" not in err
    assert lines[-1].startswith("Error: "), err
    for word in words:
        assert word in lines[-1], lines[-1]


def test_compose_says_what_it_made_as_json(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    code, out, _ = call("compose", tmp_path / "m", *both(parts), "--json")
    made = json.loads(out)
    assert code == 0
    assert made["out"] == str(tmp_path / "m")
    assert made["parameters"]["image_tower"] > 0


def test_dry_run_of_local_parts_downloads_nothing(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    code, out, _ = call("compose", tmp_path / "m", *both(parts), "--dry-run", "--json")
    assert code == 0
    assert all(files == [] for files in json.loads(out)["downloads"].values())
    assert not (tmp_path / "m").exists()


def test_options_of_parts_are_set_and_stored(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    settings = ["--set", "image.encoder.select_layer=-1", "--projector", "audio=conv"]
    more = ["--set", "audio.projector.kernel=8"]
    code, _, err = call("compose", tmp_path / "m", *both(parts), *settings, *more)
    assert code == 0, err
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert config["image_config"]["options"]["select_layer"] == -1
    assert config["audio_projector_config"]["options"]["kernel"] == 8


def test_the_projector_an_encoder_usually_has_takes_options_unnamed(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    setting = ["--set", "image.projector.scale=words"]
    code, _, err = call("compose", tmp_path / "m", *both(parts), *setting)
    assert code == 0, err
    config = json.loads((tmp_path / "m/config.json").read_text())
    assert config["image_projector_config"]["options"]["scale"] > 0
    code, _, err = call("compose", tmp_path / "n", *both(parts), "--set", "audio.projector.size=1")
    assert code == 1 and "unknown key 'size'" in err


def test_preview_marks_slots_and_what_is_learned(call: Run, model: Path, world: Path) -> None:
    code, out, err = call("data", "preview", world / "records.jsonl", "--model", model, "-n", 1)
    assert code == 0, err
    assert "⟦" in out
    assert "image ×16" in out or "audio ×" in out


def test_an_answer_as_json(call: Run, model: Path, world: Path) -> None:
    picture = next((world / "media").glob("*.png"))
    settings = ["--prompt", "What?", "--image", picture, "--max-new-tokens", 3, "--json"]
    code, out, err = call("generate", model, *settings)
    assert code == 0, err
    assert json.loads(out)["media"] == [{"kind": "image", "path": str(picture)}]


UNKNOWN = {
    "backbone": (["--backbone", "tinylama-1.1b"], ["unknown backbone", "'tinyllama-1.1b'"]),
    "encoder": (["--encoder", "image=siglp:x"], ["unknown encoder 'siglp'", "'siglip'"]),
    "modality": (["--encoder", "imgae=siglip:x"], ["unknown modality 'imgae'", "'image'"]),
    "projector": (["--projector", "image=mpl"], ["unknown projector 'mpl'", "'mlp'"]),
    "wrong modality": (["--encoder", "audio=siglip:x"], ["is for 'image', not for 'audio'"]),
    "no source": (["--encoder", "audio=whisper"], ["needs a source"]),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_or_unfit_part_is_told(
    call: Run, parts: dict[str, Path], tmp_path: Path, case: str
) -> None:
    wrong, words = UNKNOWN[case]
    given = ["--encoder", f"image=siglip:{parts['siglip']}"]
    if wrong[0] == "--encoder" and wrong[1].startswith("image"):
        given = []
    backbone = [] if wrong[0] == "--backbone" else ["--backbone", f"auto:{parts['lm']}"]
    refused(call("compose", tmp_path / "m", *backbone, *given, *wrong), *words)


def test_a_layer_the_encoder_does_not_have(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    setting = ["--set", "image.encoder.select_layer=-9"]
    refused(call("compose", tmp_path / "m", *both(parts), *setting), "select_layer -9", "3 layers")


def test_an_unknown_option_of_a_part(call: Run, parts: dict[str, Path], tmp_path: Path) -> None:
    setting = ["--set", "image.encoder.select_layr=-1"]
    refused(call("compose", tmp_path / "m", *both(parts), *setting), "Did you mean 'select_layer'")


def test_an_existing_folder_is_not_overwritten(
    call: Run, parts: dict[str, Path], model: Path
) -> None:
    refused(call("compose", model, *both(parts)), "exists already")


def test_a_folder_that_is_no_language_model(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["--backbone", f"auto:{world_folder(tmp_path)}", *both(parts)[2:]]
    refused(call("compose", tmp_path / "m", *arguments), "expected config.json")


def world_folder(folder: Path) -> Path:
    (folder / "notes").mkdir()
    (folder / "notes/readme.txt").write_text("hello")
    return folder / "notes"


def test_an_encoder_decoder_model_is_no_backbone(
    call: Run, parts: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import T5Config

    T5Config(d_model=16, num_layers=1, vocab_size=32).save_pretrained(tmp_path / "t5")
    arguments = ["--backbone", f"auto:{tmp_path / 't5'}", *both(parts)[2:]]
    refused(call("compose", tmp_path / "m", *arguments), "is an encoder-decoder model")


def test_a_missing_medium(call: Run, model: Path) -> None:
    refused(call("generate", model, "--prompt", "x", "--image", "gone.png"), "gone.png")


def test_an_unreadable_medium(call: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"<html>not found</html>")
    result = call("generate", model, "--prompt", "x", "--image", tmp_path / "a.png")
    refused(result, "a.png", "HTML")


def test_an_empty_prompt(call: Run, model: Path) -> None:
    refused(call("generate", model, "--prompt", "  "), "prompt is empty")


def test_a_conversation_longer_than_the_context(call: Run, model: Path) -> None:
    result = call("generate", model, "--prompt", "word " * 600)
    refused(result, "one turn alone takes", "the model's context of 512 allows")


def test_an_unknown_option_is_wrong_usage(call: Run, model: Path) -> None:
    result = call("generate", model, "--prompt", "x", "--imag", "a.png")
    refused(result, "no such option: --imag", "--image", code=2)


def test_a_modality_that_the_model_does_not_take(
    call: Run, parts: dict[str, Path], world: Path, tmp_path: Path
) -> None:
    clip = next((world / "media").glob("*.wav"))
    only = ["--backbone", f"auto:{parts['lm']}", "--encoder", f"image=siglip:{parts['siglip']}"]
    assert call("compose", tmp_path / "m", *only)[0] == 0
    result = call("generate", tmp_path / "m", "--prompt", "x", "--audio", clip)
    refused(result, "'audio', which this model does not accept", "image")


def test_a_bad_line_of_data_is_named(call: Run, model: Path, world: Path, tmp_path: Path) -> None:
    good = (world / "records.jsonl").read_text().splitlines()[0]
    (tmp_path / "bad.jsonl").write_text(f"{good}\n{{oops\n")
    result = call(
        "train", "align", f"model={model}", f"data={tmp_path / 'bad.jsonl'}", f"root={world}",
        f"out={tmp_path / 'out'}",
    )  # fmt: skip
    refused(result, "bad.jsonl:2")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), ["config.json", "JSON"]),
        (lambda folder: (folder / "config.json").unlink(), ["config.json"]),
        (lambda folder: truncate(folder / "model.safetensors"), ["model.safetensors"]),
        (lambda folder: (folder / "model.safetensors").unlink(), ["safetensors"]),
        (lambda folder: (folder / "tokenizer.json").unlink(), ["tokenizer"]),
        (lambda folder: (folder / "processor_config.json").unlink(), ["processor_config.json"]),
    ],
    ids=["broken config", "no config", "cut weights", "no weights", "no tokenizer", "no processor"],
)
def test_a_damaged_model_folder_is_told(
    call: Run, model: Path, tmp_path: Path, damage: Callable[[Path], Any], words: list[str]
) -> None:
    shutil.copytree(model, tmp_path / "m")
    damage(tmp_path / "m")
    refused(call("generate", tmp_path / "m", "--prompt", "x"), *words)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
