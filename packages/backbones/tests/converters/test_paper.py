"""The paper's format, against what the paper's own code recorded (data/paper/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import mmmodal
from mmmodal.cli.main import run
from mmmodal.errors import MMModalError
from mmmodal.modalities.audio import Waveform
from mmmodal.pretrained import read_pickled
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from worlds import ROOT, record, write_lines

DATA = ROOT / "packages/backbones/tests/data/paper"
NAMES = ("llama-both", "mistral-both", "qwen2-image", "llama-audio")


def picture(number: int) -> Image.Image:
    """Return the picture of that number in a conversation."""
    width, height = 45 + 8 * number, 37
    y, x, c = np.mgrid[:height, :width, :3]
    values = (x * (5 + number) + y * 7 + c * 60 + x * y * number) % 256
    return Image.fromarray(values.astype(np.uint8))


def clip(number: int) -> Waveform:
    """Return the clip of that number: two seconds or one."""
    i = np.arange(16000 * (2 - number % 2), dtype=np.int64)
    values = ((i * i * (3 + number)) // 512) % 65536 - 32768
    return Waveform((values / 131072).astype(np.float32), 16_000)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("converted") / name
    mmmodal.convert(DATA / name, out)
    return mmmodal.load(out, device="cpu")


@pytest.fixture(scope="module")
def recorded(name: str) -> dict[str, dict[str, Any]]:
    tensors = load_file(DATA / name / "recorded.safetensors")
    chats = json.loads((DATA / name / "recorded.json").read_text(encoding="utf-8"))
    for title, entry in chats.items():
        entry |= {
            key.removeprefix(f"{title}."): value
            for key, value in tensors.items()
            if key.startswith(f"{title}.")
        }
    return dict(chats)


def _chat(turns: list[Any]) -> list[dict[str, Any]]:
    """Put the media of a recorded conversation into it."""
    makers = {"image": picture, "audio": clip}
    counts = dict.fromkeys(makers, 0)
    chat = []
    for role, parts in turns:
        content = []
        for part in parts:
            if part in makers:
                content.append({"type": part, part: makers[part](counts[part])})
                counts[part] += 1
            else:
                content.append({"type": "text", "text": part})
        chat.append({"role": role, "content": content})
    return chat


def _batch(model: Any, entry: dict[str, Any]) -> Any:
    chat = _chat(entry["chat"])
    return model.processor.apply_chat_template(chat, tokenize=True, return_dict=True)


@torch.no_grad()
def test_next_token_logits_are_those_of_the_papers_code(model: Any, recorded: Any) -> None:
    for title, entry in recorded.items():
        logits = model(**_batch(model, entry)).logits[0, -1, : len(entry["logits"])]
        torch.testing.assert_close(
            logits, entry["logits"], rtol=1e-5, atol=1e-5, msg=lambda text, t=title: f"{t}: {text}"
        )


def test_tokens_are_those_of_the_papers_prompts(model: Any, recorded: Any) -> None:
    slots = {markers.slot for markers in model.processor.preparer.markers.values()}
    for title, entry in recorded.items():
        ids = _batch(model, entry)["input_ids"][0].tolist()
        assert [id_ for id_ in ids if id_ not in slots] == entry["input_ids"].tolist(), title


def test_features_follow_the_begin_marker(model: Any, recorded: Any) -> None:
    entry = recorded["two_images" if "two_images" in recorded else "two_audios"]
    ids = _batch(model, entry)["input_ids"][0].tolist()
    for markers in model.processor.preparer.markers.values():
        places = [place for place, id_ in enumerate(ids) if id_ == markers.begin]
        for place in places:
            end = ids.index(markers.end, place)
            inside = ids[place + 1 : end - len(markers.inside)]
            assert set(inside) == {markers.slot}


@torch.no_grad()
def test_features_are_those_of_the_papers_code(model: Any, recorded: Any) -> None:
    for entry in recorded.values():
        batch = _batch(model, entry)
        for modality in model.config.modality_names:
            if f"{modality}_features" not in entry:
                continue
            stem = model.config.of(modality, "input_name")
            inputs = {key: value for key, value in batch.items() if key.startswith(stem)}
            features = model.model.get_features(modality, **inputs).pooler_output
            expected = entry[f"{modality}_features"].flatten(0, 1)
            torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_media_are_preprocessed_as_the_paper_did(model: Any, recorded: Any) -> None:
    for entry in recorded.values():
        batch = _batch(model, entry)
        for modality in model.config.modality_names:
            if f"{modality}_values" in entry:
                found = batch[model.config.of(modality, "input_name")]
                expected = entry[f"{modality}_values"]
                # Recorded on another processor, whose Fourier transform rounds otherwise: where a
                # band is nearly silent the logarithm makes 3e-5 of that (measured).
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_prompt_as_text_gives_the_same_tokens(model: Any, recorded: Any) -> None:
    for entry in recorded.values():
        chat = _chat(entry["chat"])
        text = model.processor.apply_chat_template(chat)
        assert text == entry["prompt"]
        media: dict[str, list[Any]] = {}
        for turn in chat:
            for part in turn["content"]:
                if part["type"] != "text":
                    media.setdefault(part["type"], []).append(part[part["type"]])
        found = model.processor(text=text, **media)["input_ids"]
        assert found.tolist() == _batch(model, entry)["input_ids"].tolist()


def test_a_converted_model_chats_over_several_turns(model: Any) -> None:
    chat = mmmodal.Chat(model, max_new_tokens=3)
    modality = model.config.modality_names[-1]
    medium = {"image": picture, "audio": clip}[modality]
    first = chat.say("apa ini?", **{f"{modality}s": [medium(0)]})
    second = chat.say("dan ini?", **{f"{modality}s": [medium(1), medium(2)]})
    assert isinstance(first, str) and isinstance(second, str)


def test_markers_and_slots_are_never_generated(model: Any) -> None:
    never = model.config.never_generated()
    for markers in model.processor.preparer.markers.values():
        assert set(markers.all) <= set(never)
    favoured = torch.zeros(1, model.config.text_config.vocab_size)
    favoured[:, never] = 100.0
    processors = [lambda ids, scores: scores + favoured]
    said = model.generate(
        input_ids=torch.tensor([[5, 6]]), max_new_tokens=8, logits_processor=processors
    )
    assert not set(said[0, 2:].tolist()) & set(never)


def test_typed_markers_are_text(model: Any) -> None:
    name = model.config.modality_names[0]
    typed = f"<{name}> </{name}> <|{name}|>"
    chat = [{"role": "user", "content": [{"type": "text", "text": typed}]}]
    ids = model.processor.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"]
    assert not set(ids[0].tolist()) & set(model.processor.preparer.markers[name].all)


def test_rows_of_tokens_that_were_there_are_kept_bitwise(name: str, model: Any) -> None:
    stored = _tensors(DATA / name)["llm.model.embed_tokens.weight"]
    table = model.get_input_embeddings().weight
    assert torch.equal(table[: len(stored)], stored)
    slots = [markers.slot for markers in model.processor.preparer.markers.values()]
    mean = stored[: min(slots)].mean(0)
    assert all(torch.allclose(table[slot], mean, atol=1e-6) for slot in slots)


def test_a_converted_model_is_trained_in_both_stages(tmp_path: Path) -> None:
    mmmodal.convert(DATA / "llama-both", tmp_path / "start")
    media = (("image", "0.png"), ("audio", "0.wav"))
    row = record("1", *media, asked="apa ini?", answer="the bus")
    write_lines(tmp_path / "data.jsonl", [row])
    picture(0).save(tmp_path / "0.png")
    soundfile.write(tmp_path / "0.wav", clip(0).samples, clip(0).rate)
    folders = ["start", "align", "instruct"]
    for stage, before in zip(folders[1:], folders, strict=False):
        settings = [f"model={tmp_path / before}", f"data={tmp_path / 'data.jsonl'}"]
        settings += [f"out={tmp_path / stage}", "batch_size=1", "max_steps=2", "max_tokens=256"]
        run_stage(load_recipe(stage, settings))
    models = [mmmodal.load(tmp_path / folder, device="cpu") for folder in folders]
    tables = [model.get_input_embeddings().weight for model in models]
    rows = (tables[0] != tables[1]).any(-1).nonzero().flatten().tolist()
    markers = models[0].processor.preparer.markers
    assert rows == sorted(id_ for ids in markers.values() for id_ in (ids.begin, ids.end))
    assert not torch.equal(tables[1], tables[2])
    assert models[2].processor.preparer.markers == markers


def test_a_single_file_several_files_and_bin_give_the_same_model(tmp_path: Path) -> None:
    folders = []
    for kind in ("single", "sharded", "bin", "sharded-bin"):
        source = tmp_path / kind
        shutil.copytree(DATA / "llama-audio", source)
        _store(source, _tensors(source), kind)
        mmmodal.convert(source, tmp_path / f"out-{kind}")
        folders.append(load_file(tmp_path / f"out-{kind}" / "model.safetensors"))
    for other in folders[1:]:
        assert other.keys() == folders[0].keys()
        assert all(torch.equal(other[key], folders[0][key]) for key in other)


def test_a_model_without_a_chosen_layer_takes_the_last_normalised_one(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(DATA / "qwen2-image", source)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["vision_select_layer"] = None
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    mmmodal.convert(source, tmp_path / "out")
    options = mmmodal.load(tmp_path / "out", device="cpu").model.encoders["image"].options
    assert (options.select_layer, options.post_norm) == (-1, True)


def test_precision_is_kept_or_chosen(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(DATA / "llama-audio", source)
    halves = {key: value.bfloat16() for key, value in _tensors(source).items()}
    _store(source, halves, "single")
    mmmodal.convert(source, tmp_path / "kept")
    mmmodal.convert(source, tmp_path / "chosen", dtype="float32")
    assert mmmodal.load(tmp_path / "kept", device="cpu").dtype == torch.bfloat16
    assert mmmodal.load(tmp_path / "chosen", device="cpu").dtype == torch.float32


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors |= load_file(path)
    for path in folder.glob("*.bin"):
        tensors |= read_pickled(path)
    return tensors


def _store(folder: Path, tensors: dict[str, torch.Tensor], kind: str) -> None:
    """Store a checkpoint's tensors in one of the forms that transformers writes."""
    for path in (*folder.glob("model*"), *folder.glob("pytorch_model*")):
        path.unlink()
    save, stem, ending = (
        (torch.save, "pytorch_model", "bin")
        if kind.endswith("bin")
        else (save_file, "model", "safetensors")
    )
    if "sharded" not in kind:
        save(tensors, folder / f"{stem}.{ending}")
        return
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-{number:05}-of-00002.{ending}"
        save({key: tensors[key] for key in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": index}))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a copy of a checkpoint, to be damaged."""
    return Path(shutil.copytree(DATA / "llama-both", tmp_path / "source"))


def _refusal(source: Path, out: Path) -> str:
    with pytest.raises(MMModalError) as caught:
        mmmodal.convert(source, out)
    assert not out.exists()
    assert str(source) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "part"),
    [
        ("llm.model.layers", "language model lacks 'llm.model.layers.0"),
        ("llm.model.", "language model is missing"),
        ("llm.lm_head", "head is missing"),
        ("image_encoder.", "image encoder is missing"),
        ("audio_encoder.", "audio encoder is missing"),
        ("image_projector.", "image projector is missing"),
        ("audio_projector.linear_2", "audio projector lacks 'audio_projector.linear_2"),
    ],
)
def test_a_part_that_is_missing_is_named(damaged: Path, prefix: str, part: str) -> None:
    tensors = {k: v for k, v in _tensors(damaged).items() if not k.startswith(prefix)}
    _store(damaged, tensors, "single")
    assert part in _refusal(damaged, damaged.parent / "out")


def test_a_tensor_of_another_shape_is_named(damaged: Path) -> None:
    tensors = _tensors(damaged)
    tensors["audio_projector.linear_1.weight"] = torch.zeros(32, 8, 30)
    _store(damaged, tensors, "single")
    told = _refusal(damaged, damaged.parent / "out")
    assert "'audio_projector.linear_1.weight' has shape [32, 8, 30]" in told
    assert "[32, 8, 40]" in told


def test_a_tensor_that_the_config_does_not_ask_for_is_named(damaged: Path) -> None:
    tensors = _tensors(damaged) | {"llm.model.layers.9.input_layernorm.weight": torch.ones(32)}
    _store(damaged, tensors, "single")
    assert "llm.model.layers.9" in _refusal(damaged, damaged.parent / "out")


def test_a_truncated_file_is_named(damaged: Path) -> None:
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "model.safetensors is damaged" in _refusal(damaged, damaged.parent / "out")


def test_a_truncated_bin_file_is_named(damaged: Path) -> None:
    _store(damaged, _tensors(damaged), "bin")
    path = damaged / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-5000])
    assert "pytorch_model.bin" in _refusal(damaged, damaged.parent / "out")


def test_a_shard_that_is_missing_is_named(damaged: Path) -> None:
    _store(damaged, _tensors(damaged), "sharded")
    (damaged / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors" in _refusal(damaged, damaged.parent / "out")


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(damaged: Path) -> None:
    tensors = _tensors(damaged)
    for key in ("llm.model.embed_tokens.weight", "llm.lm_head.weight"):
        tensors[key] = tensors[key][:300].clone()
    _store(damaged, tensors, "single")
    told = _refusal(damaged, damaged.parent / "out")
    assert "364 tokens" in told and "300 rows" in told


def test_a_vocabulary_other_than_configured_is_refused(damaged: Path) -> None:
    _change_config(damaged, lambda config: config["llm_config"].update(vocab_size=32000))
    assert "sets a vocabulary of 32000 tokens" in _refusal(damaged, damaged.parent / "out")


def test_a_tokenizer_without_the_markers_is_refused(damaged: Path) -> None:
    path = damaged / "tokenizer.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] != "</audio>"]
    path.write_text(json.dumps(state), encoding="utf-8")
    assert "'</audio>'" in _refusal(damaged, damaged.parent / "out")


def test_another_encoder_is_refused_by_name(damaged: Path) -> None:
    _change_config(damaged, lambda config: config["image_config"].update(model_type="clip"))
    assert "image encoder is 'clip'" in _refusal(damaged, damaged.parent / "out")


def test_an_unknown_format_is_told_with_what_was_looked_for(damaged: Path) -> None:
    _change_config(damaged, lambda config: config.update(model_type="blip-2"))
    told = _refusal(damaged, damaged.parent / "out")
    assert "'blip-2'" in told and "mm_llms" in told and "llava" in told


def test_a_config_of_a_billion_layers_is_refused_before_it_is_built(damaged: Path) -> None:
    _change_config(damaged, lambda config: config["llm_config"].update(num_hidden_layers=10**9))
    assert "sets 1000000000 layers" in _refusal(damaged, damaged.parent / "out")


def test_the_command_says_what_came_out(tmp_path: Path, capsys: Any) -> None:
    source, out = str(DATA / "llama-audio"), str(tmp_path / "out")
    assert run(["convert", source, out, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["out"], result["format"], result["modalities"]) == (out, "paper", ["audio"])
    assert run(["convert", source, out]) == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith("Error: ") and "exists already" in told and "\n" not in told


def test_an_existing_folder_is_not_overwritten(damaged: Path) -> None:
    out = damaged.parent / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    with pytest.raises(MMModalError, match="exists already"):
        mmmodal.convert(damaged, out)
    assert (out / "mine").read_text() == "kept"


def test_what_a_hostile_config_asks_for_is_not_taken(damaged: Path) -> None:
    def poison(config: dict[str, Any]) -> None:
        for part in (config, config["llm_config"], config["image_config"]):
            part["attn_implementation"] = part["_attn_implementation"] = "evil/kernels"
            part["_attn_implementation_internal"] = "evil/kernels"
            part["auto_map"] = {"AutoModel": "evil--modeling.Evil"}

    _change_config(damaged, poison)
    mmmodal.convert(damaged, damaged.parent / "out")
    assert "evil" not in (damaged.parent / "out" / "config.json").read_text(encoding="utf-8")
    mmmodal.load(damaged.parent / "out", device="cpu")


def test_settings_of_the_language_model_are_kept(tmp_path: Path) -> None:
    source = Path(shutil.copytree(DATA / "mistral-both", tmp_path / "source"))
    settings = {"rope_theta": 1_000_000.0, "sliding_window": 77, "rms_norm_eps": 0.001}
    _change_config(source, lambda config: config["llm_config"].update(settings))
    mmmodal.convert(source, tmp_path / "out")
    kept = mmmodal.load(tmp_path / "out", device="cpu").config.text_config
    assert kept.rope_parameters["rope_theta"] == settings["rope_theta"]
    assert (kept.sliding_window, kept.rms_norm_eps) == (77, 0.001)


def _change_config(folder: Path, change: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")
