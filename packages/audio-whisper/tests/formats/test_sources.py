"""Every format that users have is recognised and read exactly; all else is one clear error."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from whisper.model import AudioEncoder

from mmmodal.errors import PartError
from mmmodal_audio_whisper import Whisper, to_openai
from whisper_models import TINY, encode, loaded, openai_whisper, save_openai
from worlds import clip

ALL_LAYERS = {"select_layer": -1, "post_norm": True}


@pytest.fixture(scope="module")
def openai_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_openai(openai_whisper(), tmp_path_factory.mktemp("openai") / "mine.pt")


def test_file_of_openai_is_read(openai_file: Path) -> None:
    found = dict(Whisper.from_source(str(openai_file), ALL_LAYERS).load(str(openai_file)))
    expected = openai_whisper().encoder.state_dict()
    assert to_openai(found).keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in to_openai(found).items())


def test_openai_to_transformers_and_back_changes_nothing(openai_file: Path) -> None:
    encoder = Whisper.from_source(str(openai_file), ALL_LAYERS)
    ours = loaded(encoder, openai_file)
    theirs = WhisperEncoder(encoder.tower_config)
    theirs.load_state_dict(ours.state_dict())
    back = AudioEncoder(TINY.mel_bins, TINY.positions, TINY.width, TINY.heads, TINY.layers)
    back.load_state_dict(to_openai(theirs.state_dict()))
    expected = openai_whisper().encoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in back.state_dict().items())


def test_transformers_to_openai_hears_the_same(folder: Path) -> None:
    config = WhisperModel.from_pretrained(folder).config
    sizes = (config.num_mel_bins, config.max_source_positions, config.d_model)
    # OpenAI's layers are always four times as wide inside, the folder's only twice.
    config.encoder_ffn_dim = 4 * config.d_model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = WhisperEncoder(config).eval()
    openai = AudioEncoder(*sizes, config.encoder_attention_heads, config.encoder_layers).eval()
    openai.load_state_dict(to_openai(theirs.state_dict()))
    mel = Whisper.from_source(str(folder), {}).preprocess(clip(seconds=1.0))["values"]
    with torch.no_grad():
        expected = theirs(mel).last_hidden_state
        torch.testing.assert_close(openai(mel), expected, rtol=1e-5, atol=1e-5)


def test_layers_above_the_selected_one_are_not_read(openai_file: Path) -> None:
    names = [name for name, _ in Whisper.from_source(str(openai_file), {}).load(str(openai_file))]
    assert any("layers.1" in name for name in names)
    assert not any("layers.2" in name or name == "layer_norm.weight" for name in names)


def test_folder_wins_over_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    os.symlink(folder, folder.parent / "tiny")
    assert Whisper.from_source("tiny", {}).width == 32


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("tinny", "no such folder, file or model"),
        ("./tiny", "no such folder or file"),
        ("missing.pt", "no such folder or file"),
        ("a/b/c", "no such folder, file or model"),
    ],
)
def test_unknown_source_is_refused_with_what_was_looked_for(source: str, reason: str) -> None:
    with pytest.raises(PartError) as caught:
        Whisper.from_source(source, {})
    assert str(caught.value).startswith(f"{source}: {reason}")
    assert "Looked for: a folder or a Hub id (OWNER/NAME) of transformers, a .pt" in str(
        caught.value
    )


def test_name_that_is_nearly_right_is_told() -> None:
    with pytest.raises(PartError, match=r"knows by name\. Did you mean 'large-v3'\?$"):
        Whisper.from_source("large_v3", {})


def test_fifo_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(PartError, match="no such folder or file"):
        Whisper.from_source(str(tmp_path / "pipe.pt"), {})


def test_file_of_transformers_is_refused_as_a_source(folder: Path) -> None:
    with pytest.raises(PartError, match="a file of unknown format. Expected: a folder"):
        Whisper.from_source(str(folder / "model.safetensors"), {})


class Malicious:
    def __reduce__(self) -> Any:
        return (os.system, ("touch /tmp/this-was-run",))


def test_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = save_openai(openai_whisper(), tmp_path / "bad.pt", extra=Malicious())
    with pytest.raises(PartError, match="holds more than tensors and plain values"):
        Whisper.from_source(str(path), {})
    assert not Path("/tmp/this-was-run").exists()


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_truncated_file_is_refused(openai_file: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.pt"
    path.write_bytes(openai_file.read_bytes()[:size])
    with pytest.raises(PartError, match=r"short\.pt: it is damaged"):
        Whisper.from_source(str(path), {})


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ({"state_dict": {}, "epoch": 3}, "found 'epoch', 'state_dict'"),
        ({"dims": {"n_mels": 80}, "model_state_dict": {}}, "found 'dims', 'model_state_dict'"),
        ({"dims": None, "model_state_dict": {}}, "found 'dims'"),
        ([1, 2], "found list"),
        (torch.zeros(3), "found Tensor"),
    ],
)
def test_file_of_something_else_is_refused(tmp_path: Path, held: Any, found: str) -> None:
    torch.save(held, tmp_path / "other.pt")
    with pytest.raises(
        PartError, match=rf"other\.pt is not a checkpoint of openai-whisper.*{found}"
    ):
        Whisper.from_source(str(tmp_path / "other.pt"), {})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_audio_layer": 10**9}, "its dims say 1000000000 layers, but it holds 3"),
        ({"n_audio_layer": 2}, "its dims say 2 layers, but it holds 3"),
        ({"n_audio_state": 64}, r"'encoder.conv1.weight' has shape \[32, 80, 3\], but its dims"),
        ({"n_audio_ctx": 1500}, "'encoder.positional_embedding' has shape"),
        ({"n_audio_head": 5}, "a width of 32 cannot be divided by 5 heads"),
        ({"n_audio_head": 0}, "is not a checkpoint of openai-whisper"),
        ({"n_mels": "80"}, "is not a checkpoint of openai-whisper"),
    ],
)
def test_dims_that_do_not_fit_are_refused_before_anything_is_built(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    model = openai_whisper()
    path = save_openai(model, tmp_path / "x.pt", dims={**asdict(model.dims), **changes})
    with pytest.raises(PartError, match=reason):
        Whisper.from_source(str(path), {})


def test_tensor_that_a_file_lacks_is_named(tmp_path: Path) -> None:
    model = openai_whisper()
    held = model.state_dict()
    del held["encoder.blocks.0.mlp.2.bias"]
    path = save_openai(model, tmp_path / "x.pt", model_state_dict=held)
    with pytest.raises(PartError, match=r"x\.pt: 'encoder\.blocks\.0\.mlp\.2\.bias' is missing"):
        dict(Whisper.from_source(str(path), {}).load(str(path)))


def test_window_of_another_length_is_taken_from_the_dims(tmp_path: Path) -> None:
    path = save_openai(openai_whisper(replace(TINY, positions=50)), tmp_path / "x.pt")
    assert Whisper.from_source(str(path), {}).options.max_source_positions == 50


def test_checkpoint_without_the_head_is_read(folder: Path, tmp_path: Path) -> None:
    WhisperModel.from_pretrained(folder).save_pretrained(tmp_path)
    extractor = (folder / "preprocessor_config.json").read_bytes()
    (tmp_path / "preprocessor_config.json").write_bytes(extractor)
    assert torch.equal(encode(tmp_path, [clip(seconds=1)])[0], encode(folder, [clip(seconds=1)])[0])


def test_sharded_checkpoint_is_read(folder: Path, tmp_path: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert torch.equal(encode(tmp_path, [clip(seconds=1)])[0], encode(folder, [clip(seconds=1)])[0])


def test_settings_of_the_feature_extractor_are_taken(copy: Path) -> None:
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_fft": 512}))
    assert Whisper.from_source(str(copy), {}).options.n_fft == 512


def test_folder_without_a_config_is_refused(copy: Path, openai_file: Path) -> None:
    (copy / "config.json").unlink()
    with pytest.raises(PartError, match=r"no config\.json, .*name the \.pt file itself"):
        Whisper.from_source(str(copy), {})


def test_config_of_another_model_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(PartError, match="'bert' model, not Whisper"):
        Whisper.from_source(str(copy), {})


def test_config_with_wrong_types_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text('{"model_type": "whisper", "d_model": "wide"}')
    with pytest.raises(PartError, match=r"not a valid config of Whisper: .*d_model"):
        Whisper.from_source(str(copy), {})


def test_missing_tensor_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.encoder.conv1.bias"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(PartError, match=r"'model\.encoder\.conv1\.bias' is missing"):
        dict(Whisper.from_source(str(copy), {}).load(str(copy)))


def test_weights_that_only_a_pickle_holds_are_refused(copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(
        PartError, match=r"neither model\.safetensors nor .*other formats are not supported"
    ):
        dict(Whisper.from_source(str(copy), {}).load(str(copy)))


def test_files_on_this_machine_are_nothing_to_download(folder: Path, openai_file: Path) -> None:
    for source in (str(folder), str(openai_file)):
        assert Whisper.from_source(source, {}).download_size(source) == []
