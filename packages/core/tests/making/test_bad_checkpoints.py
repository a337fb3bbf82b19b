"""A folder from anywhere: what is damaged is named, what does not fit is refused, nothing is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM

import mmmodal
from mmmodal.errors import CheckpointError, PartError
from tiny_architectures import tiny_causal
from worlds import compose

EVIL = "from pathlib import Path\nPath({mark!r}).touch()\nclass Evil: pass\n"
CODE = {name: "evil.Evil" for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM")}
ORDERS = {
    "attn_implementation": "nobody/kernel",
    "_attn_implementation": "nobody/kernel",
    "_attn_implementation_internal": "nobody/kernel",
    "experts_implementation": "nobody/kernel",
    "_experts_implementation": "nobody/kernel",
    "fusion_config": {"nobody": True},
    "transformers_weights": "pytorch_model.bin",
    "auto_map": CODE,
}


@pytest.fixture(scope="module")
def seeing(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pictures."""
    folder = tmp_path_factory.mktemp("seeing") / "model"
    compose(parts["llama"], parts, folder, kinds=["image"])
    return folder


@pytest.fixture
def model(seeing: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(seeing, tmp_path / "model"))


@pytest.fixture
def language_model(parts: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(parts["llama"], tmp_path / "lm")
    return tmp_path / "lm"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def in_several_files(folder: Path) -> None:
    """Save the language model again as shards of its weights."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


@pytest.mark.parametrize("damage", ["cut", "empty", "header"])
def test_a_damaged_file_of_a_language_model_is_named(
    language_model: Path, parts: dict[str, Path], damage: str
) -> None:
    path = language_model / "model.safetensors"
    if damage == "cut":
        cut(path)
    else:
        path.write_bytes(b"" if damage == "empty" else b"\xff" * 8 + path.read_bytes()[8:])
    with pytest.raises(PartError, match=r"lm/model\.safetensors is damaged; copy or download it"):
        compose(language_model, parts, kinds=["image"])


def test_of_several_files_the_damaged_and_the_missing_are_named(
    language_model: Path, parts: dict[str, Path]
) -> None:
    in_several_files(language_model)
    second = sorted(language_model.glob("model-*.safetensors"))[1]
    cut(second)
    with pytest.raises(PartError, match=rf"{second.name} is damaged"):
        compose(language_model, parts, kinds=["image"])
    second.unlink()
    with pytest.raises(PartError, match=rf"{second.name} is missing"):
        compose(language_model, parts, kinds=["image"])


def test_a_language_model_without_a_weight_is_refused_not_made_up(
    language_model: Path, parts: dict[str, Path]
) -> None:
    path = language_model / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(PartError, match=r"lm: the weights of 'model\.layers\.1\.mlp\.up_proj"):
        compose(language_model, parts, kinds=["image"])


def test_weights_of_another_size_are_refused(language_model: Path, parts: dict[str, Path]) -> None:
    config = json.loads((language_model / "config.json").read_text())
    change(language_model / "config.json", vocab_size=config["vocab_size"] + 64)
    with pytest.raises(PartError, match=r"lm' cannot be loaded: .*size"):
        compose(language_model, parts, kinds=["image"])


@pytest.mark.parametrize("rows", [300, 5_000], ids=["too few", "far too many"])
def test_the_tokenizer_of_another_model_is_refused(
    parts: dict[str, Path], tmp_path: Path, rows: int
) -> None:
    tiny_causal(tmp_path / "lm", "qwen3", vocab_size=rows, pad_token_id=None, eos_token_id=2)
    with pytest.raises(PartError, match=rf"vocabulary does not match: .* but .* {rows} rows"):
        compose(tmp_path / "lm", parts, kinds=["image"])


def test_added_tokens_without_a_row_are_given_one(parts: dict[str, Path], tmp_path: Path) -> None:
    """As Gemma 3 of one billion parameters comes, whose tokenizer has one token too many."""
    bare = tiny_causal(tmp_path / "lm", "qwen3", spare_rows=-1)
    composed = compose(tmp_path / "lm", parts, kinds=["image"])
    known = bare.config.vocab_size
    table, before = composed.get_input_embeddings().weight, bare.get_input_embeddings().weight
    assert torch.equal(table[:known], before)
    torch.testing.assert_close(table[known], before.mean(0))


def test_a_composed_model_with_the_tokenizer_of_another_is_refused(
    model: Path, parts: dict[str, Path], tmp_path: Path
) -> None:
    compose(parts["qwen2"], parts, tmp_path / "other", kinds=["image"])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "other" / name, model / name)
    with pytest.raises(CheckpointError, match="model: the vocabulary does not match"):
        mmmodal.load(model)


def test_a_damaged_file_of_a_composed_model_is_named(model: Path) -> None:
    cut(model / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model/model\.safetensors cannot be loaded"):
        mmmodal.load(model)


def test_pickled_weights_are_never_read(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(weights, model / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="model cannot be loaded"):
        mmmodal.load(model)
    with pytest.raises(OSError, match="safetensors"):
        AutoModelForMultimodalLM.from_pretrained(model)


def test_quantized_weights_are_refused_with_what_to_do(
    model: Path, language_model: Path, parts: dict[str, Path]
) -> None:
    for folder in (model, language_model):
        change(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(CheckpointError, match="load the original model with `quantiz"):
        mmmodal.load(model)
    with pytest.raises(PartError, match="weights of .*lm are quantized"):
        compose(language_model, parts, kinds=["image"])


def test_config_json_gives_no_orders(
    seeing: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither code nor a kernel of its choice runs, at any depth, by whichever way it is loaded."""
    mark = model / "ran"
    (model / "evil.py").write_text(EVIL.format(mark=str(mark)))
    config = json.loads((model / "config.json").read_text())
    for section in (config, config["text_config"], config["image_config"]):
        section.update(ORDERS)
    (model / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer_config.json", "processor_config.json"):
        codes = {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoProcessor": "evil.Evil"}
        change(model / name, auto_map=codes)
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # to transformers' question
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        expected = mmmodal.load(seeing)(ids).logits
        for loaded in (mmmodal.load(model), AutoModelForMultimodalLM.from_pretrained(model)):
            assert torch.equal(loaded(ids).logits, expected)
            for module in (loaded, loaded.model.language_model, loaded.model.tower("image")):
                assert module.config._attn_implementation == "sdpa"
    assert not mark.exists()


def test_config_json_of_a_language_model_gives_no_orders(
    language_model: Path, parts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = language_model / "ran"
    (language_model / "evil.py").write_text(EVIL.format(mark=str(mark)))
    change(language_model / "config.json", **ORDERS)
    change(
        language_model / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    composed = compose(language_model, parts, language_model.parent / "out", kinds=["image"])
    assert composed.model.language_model.config._attn_implementation == "sdpa"
    written = (language_model.parent / "out/config.json").read_text()
    assert "nobody" not in written and "evil" not in written
    assert not mark.exists()


def test_a_model_that_needs_code_of_its_own_is_refused_without_a_question(
    language_model: Path, parts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: Any) -> str:
        raise AssertionError("the user was asked whether to run code")

    mark = language_model / "ran"
    (language_model / "evil.py").write_text(EVIL.format(mark=str(mark)))
    change(language_model / "config.json", model_type="evil", auto_map=CODE)
    monkeypatch.setattr("builtins.input", ask)
    with pytest.raises(PartError, match=r"lm' cannot be loaded"):
        compose(language_model, parts, kinds=["image"])
    assert not mark.exists()
