"""Adapters train what they are put on, are saved small, load, train on, and merge."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from killing import Training
from mmmodal.adapters.lora import Lora
from mmmodal.adapters.targets import adapted_layers
from mmmodal.cli.main import run
from mmmodal.digests import weights_digest
from mmmodal.errors import CheckpointError, ConfigError
from mmmodal.making.loading import save
from mmmodal.records.dataset import RecordDataset
from mmmodal.samples.dataset import prepare_record
from mmmodal.train.loop.trainable import choose
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import Outcome, run_stage
from mmmodal_playground.records import make_records
from worlds import compose

SMALL = ["batch_size=2", "max_steps=4", "log_every=1", "max_tokens=512", "train.lora.rank=2"]
FAST = ["learning_rate=0.02", "train.lora.dropout=0"]


@dataclass(frozen=True)
class Trained:
    """A base, an adapter that was trained on it, and how that ended."""

    base: Path
    adapter: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 8)


@pytest.fixture(scope="module", params=["qwen2", "llama"], ids=["tied", "untied"])
def trained(
    request: pytest.FixtureRequest,
    composed: Callable[[str], Path],
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    out = tmp_path_factory.mktemp("lora") / "adapter"
    base = composed(request.param)
    return Trained(base, out, train(base, data, out))


@pytest.fixture(scope="module")
def untied(start: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("lora") / "adapter"
    return Trained(start, out, train(start, data, out))


def recipe(model: Path, data: Path, out: Path, *more: str, stage: str = "lora") -> Any:
    given = [f"model={model}", f"data={data}", f"out={out}"]
    return load_recipe(stage, [*given, *(SMALL + FAST if stage == "lora" else []), *more])


def train(model: Path, data: Path, out: Path, *more: str, stage: str = "lora") -> Outcome:
    return run_stage(recipe(model, data, out, *more, stage=stage))


def logits(model: Any, data: Path) -> torch.Tensor:
    """Run the first conversation, which has media, through a model."""
    dataset = RecordDataset(data)
    where, record = dataset[0]
    preparer = mmmodal.making.loading.load_processor(model.config._name_or_path).preparer
    sample = prepare_record(preparer, record, where, dataset.root(0))
    batch = preparer.collate([sample])
    batch.pop("labels")
    with torch.no_grad():
        return model.eval()(**batch).logits.float()


def test_the_folder_is_small_and_in_pefts_own_format(trained: Trained) -> None:
    names = {path.name for path in trained.adapter.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "mmmodal_adapter.json"} <= names
    assert not {"config.json", "model.safetensors"} & names
    assert not any(name.endswith((".bin", ".pt")) for name in names)
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(trained.adapter))
    assert config.base_model_name_or_path == str(trained.base.resolve())


def test_an_adapter_of_a_larger_model_is_a_small_part_of_it(
    data: Path, parts: dict[str, Path], tmp_path: Path
) -> None:
    from mmmodal_playground.tiny_language import tiny_language_model

    tiny_language_model(tmp_path / "lm", "llama", hidden_size=512, layers=4)
    base = tmp_path / "base"
    compose(tmp_path / "lm", parts, base)
    train(base, data, tmp_path / "adapter", "max_steps=1", "train=[markers]")
    share = size(tmp_path / "adapter/adapter_model.safetensors") / size(base / "model.safetensors")
    assert share < 0.02, share


def size(path: Path) -> int:
    return path.stat().st_size


def test_adapters_change_the_answer_and_merging_does_not(
    trained: Trained, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["merge", str(trained.adapter), str(tmp_path / "merged"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(tmp_path / "merged")}
    merged, adapted = mmmodal.load(tmp_path / "merged"), mmmodal.load(trained.adapter)
    assert (logits(adapted, data) - logits(mmmodal.load(trained.base), data)).abs().max() > 1e-2
    torch.testing.assert_close(logits(merged, data), logits(adapted, data), atol=1e-4, rtol=0)
    assert merged.state_dict().keys() == mmmodal.load(trained.base).state_dict().keys()
    assert not adapted_layers(merged)
    assert (tmp_path / "merged/run/recipe.json").is_file()


def test_peft_alone_loads_it_to_the_same_logits(trained: Trained, data: Path) -> None:
    from peft import PeftModel

    ours = logits(mmmodal.load(trained.adapter), data)
    theirs = PeftModel.from_pretrained(mmmodal.load(trained.base), str(trained.adapter))
    torch.testing.assert_close(logits(theirs, data), ours, atol=1e-5, rtol=0)


def test_only_adapters_marker_rows_and_projectors_differ_from_the_base(trained: Trained) -> None:
    before = dict(mmmodal.load(trained.base).named_parameters())
    after = dict(mmmodal.load(trained.adapter).named_parameters())
    embedding = "model.language_model.embed_tokens.weight"
    moved = set()
    for name, value in after.items():
        if ".lora_" not in name and not torch.equal(
            before[name.replace(".base_layer.", ".")], value
        ):
            moved.add(name)
    assert embedding in moved
    assert {name.split(".")[1] for name in moved - {embedding}} == {
        "image_projector", "audio_projector",
    }  # fmt: skip
    rows = (before[embedding] != after[embedding]).any(-1).nonzero().flatten().tolist()
    markers = mmmodal.load(trained.base).processor.preparer.markers.values()
    assert rows == sorted(i for marker in markers for i in (marker.begin, marker.end))


def test_what_is_said_to_train_is_what_trains(trained: Trained) -> None:
    model = mmmodal.load(trained.adapter)
    by_hand = 0
    for name in adapted_layers(model):
        layer = model.get_submodule(name).get_base_layer()
        by_hand += 2 * (layer.in_features + layer.out_features)  # of rank 2
    counts = trained.outcome.trained
    assert counts["language_model (LoRA)"] == by_hand
    assert counts["markers"] == 4 * model.config.text_config.hidden_size
    projector = model.model.projector("image")
    assert counts["image_projector"] == sum(p.numel() for p in projector.parameters())
    assert set(counts) == {
        "language_model (LoRA)", "markers", "image_projector", "audio_projector",
    }  # fmt: skip


TARGETS = {
    "language_model": r"model\.language_model\.layers\.\d\.(self_attn|mlp)\.[a-z]+_proj",
    "image": r"model\.image_tower\..*",
    "audio": r"model\.audio_tower\..*",
    "towers": r"model\.(image|audio)_tower\..*",
    "projectors": r"model\.(image|audio)_projector\..*",
}


@pytest.mark.parametrize("part", TARGETS)
def test_lora_on_one_part_does_not_hit_another(untied: Trained, part: str) -> None:
    model = mmmodal.load(untied.base)
    choose(model, [], Lora(targets={part: "all"}))
    layers = adapted_layers(model)
    assert layers and all(re.fullmatch(TARGETS[part], name) for name in layers)
    training = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(".lora_" in name and re.match(TARGETS[part], name) for name in training)


def test_a_layer_that_is_named_is_taken_in_its_part_alone(untied: Trained) -> None:
    """The towers have layers named q_proj, too."""
    model = mmmodal.load(untied.base)
    choose(model, [], Lora(targets={"language_model": ["q_proj"], "image": ["mlp.fc1"]}))
    assert adapted_layers(model) == [
        "model.image_tower.encoder.layers.0.mlp.fc1",
        "model.image_tower.encoder.layers.1.mlp.fc1",
        "model.language_model.layers.0.self_attn.q_proj",
        "model.language_model.layers.1.self_attn.q_proj",
    ]


def test_adapters_of_a_tower_learn(untied: Trained, data: Path, tmp_path: Path) -> None:
    targets = "train.lora.targets=[image, audio]"
    train(untied.base, data, tmp_path / "out", targets, "train=[]", "gradient_checkpointing=true")
    parameters = dict(mmmodal.load(tmp_path / "out").named_parameters())
    learned = {name: p for name, p in parameters.items() if ".lora_B." in name}
    assert learned and all(p.abs().max() > 0 for p in learned.values())


BAD = {
    "unknown key": (["train.lora.rnk=4"], "Did you mean 'rank'?"),
    "rank": (["train.lora.rank=0"], "'train.lora.rank'"),
    "whole and lora": (["train=[language_model]"], "language_model cannot be trained whole"),
    "projectors twice": (
        ["train=[projectors]", "train.lora.targets=[projectors]"],
        "projectors can be trained whole or with lora",
    ),
    "nothing": (["train={}"], "no part is trained"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_setting_is_told(case: str) -> None:
    given, message = BAD[case]
    with pytest.raises(ConfigError) as caught:
        load_recipe("lora", ["model=a", "data=b", "out=c", *given])
    assert message in str(caught.value)


def test_settings_reach_into_a_recipe_that_lists_parts() -> None:
    made = load_recipe("align", ["model=a", "data=b", "out=c", "train.lora.targets=[image]"])
    assert made.train.parts == {"projectors", "markers"}
    assert made.train.lora == Lora(targets={"image": "all"})


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("{imgae: all}", "'imgae' is not a part of this model. Did you mean 'image'?"),
        ("{language_model: [q_prj]}", "no layer named 'q_prj'. Did you mean 'q_proj'?"),
    ],
)
def test_an_unknown_target_leaves_nothing_behind(
    untied: Trained, data: Path, tmp_path: Path, targets: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(untied.base, data, tmp_path / "out", f"train.lora.targets={targets}")
    assert not (tmp_path / "out").exists()


def test_a_wrong_base_is_refused(
    untied: Trained, parts: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(untied.base, tmp_path / "other")
    model = mmmodal.load(other)
    with torch.no_grad():
        model.model.language_model.layers[1].mlp.up_proj.weight[3, 3] += 1e-3
    shutil.rmtree(other)
    save(model, other)
    with pytest.raises(CheckpointError, match="trained on other weights than those of .*other"):
        mmmodal.load(untied.adapter, base=other)


def test_a_base_that_moved_is_named(untied: Trained, data: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(untied.adapter, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/no/such/place"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="an adapter of /no/such/place, which does not exist"):
        mmmodal.load(adapter)
    found = mmmodal.load(adapter, base=untied.base)
    assert torch.equal(logits(found, data), logits(mmmodal.load(untied.adapter), data))


def test_the_digest_is_of_the_tensors_not_of_the_files(untied: Trained, tmp_path: Path) -> None:
    model = mmmodal.load(untied.base)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="200KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    assert weights_digest(str(tmp_path / "sharded")) == weights_digest(str(untied.base))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: cut(folder / "adapter_model.safetensors"), "safetensors is damaged"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "lacks adapter_model"),
        (lambda folder: (folder / "mmmodal_adapter.json").unlink(), "lacks mmmodal_adapter.json"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "adapter_config.json"),
    ],
    ids=["cut", "no weights", "no note", "broken config", "empty config"],
)
def test_a_damaged_adapter_is_told(
    untied: Trained, tmp_path: Path, damage: Any, message: str
) -> None:
    adapter = shutil.copytree(untied.adapter, tmp_path / "adapter")
    damage(adapter)
    with pytest.raises(CheckpointError, match=message):
        mmmodal.load(adapter)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: size(path) // 2])


def test_an_adapter_trains_on(untied: Trained, data: Path, tmp_path: Path) -> None:
    """What it does not train any more is carried along: here the projectors and markers."""
    train(untied.adapter, data, tmp_path / "more", "train=[]", "seed=1")
    first, more = mmmodal.load(untied.adapter), mmmodal.load(tmp_path / "more")
    after = dict(more.named_parameters())
    moved = {n for n, p in first.named_parameters() if not torch.equal(p, after[n])}
    assert moved and all(".lora_" in name for name in moved)
    noted = json.loads((tmp_path / "more/adapter_config.json").read_text())
    assert noted["base_model_name_or_path"] == str(untied.base.resolve())


def test_training_on_starts_from_what_was_learned(
    untied: Trained, data: Path, tmp_path: Path
) -> None:
    """Half precision does not round it."""
    still = ["learning_rate=1e-12", "weight_decay=0", "precision=bf16"]
    train(untied.adapter, data, tmp_path / "same", *still)
    before = dict(mmmodal.load(untied.adapter).named_parameters())
    for name, value in mmmodal.load(tmp_path / "same").named_parameters():
        torch.testing.assert_close(value, before[name], atol=1e-9, rtol=0)


def test_an_adapter_trains_on_with_its_own_rank_alone(
    untied: Trained, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"another train\.lora\.rank .*its rank is 2"):
        train(untied.adapter, data, tmp_path / "out", "train.lora.rank=4")
    with pytest.raises(CheckpointError, match=r"can only be trained further with train\.lora"):
        train(untied.adapter, data, tmp_path / "out", stage="instruct")


def test_a_finished_adapter_is_not_trained_over(untied: Trained, data: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a finished model"):
        train(untied.base, data, untied.adapter)


def test_an_interrupted_run_goes_on_to_the_same_adapter(
    untied: Trained, data: Path, tmp_path: Path
) -> None:
    """Dropout is on, so that the random state has to go on, too."""
    settings = ["train.lora.dropout=0.1"]
    train(untied.base, data, tmp_path / "straight", *settings)
    metrics = tmp_path / "broken/run/metrics.jsonl"
    threading.Thread(target=interrupt_after, args=(metrics,), daemon=True).start()
    stopped = train(untied.base, data, tmp_path / "broken", *settings)
    assert not stopped.finished and stopped.interrupted_by == "SIGTERM"
    assert train(untied.base, data, tmp_path / "broken", *settings).finished
    straight = mmmodal.load(tmp_path / "straight").state_dict()
    broken = mmmodal.load(tmp_path / "broken").state_dict()
    assert all(torch.equal(value, broken[name]) for name, value in straight.items())


def interrupt_after(metrics: Path) -> None:
    """Send this process a SIGTERM after the first logged step."""
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_model_with_adapters_is_not_saved_as_a_whole_one(untied: Trained, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="merge them first"):
        save(mmmodal.load(untied.adapter), tmp_path / "out")


def test_what_is_no_adapter_is_not_merged(
    untied: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["merge", str(untied.base), str(tmp_path / "out")]) == 1
    assert "is not an adapter" in capsys.readouterr().err


@pytest.mark.timeout(900)  # DeepSpeed compiles its CPU optimizer when it is first used
@pytest.mark.parametrize(
    "deepspeed", ["zero2-offload", pytest.param("zero3", marks=pytest.mark.slow)]
)
def test_two_ranks_train_adapters_under_deepspeed(
    untied: Trained, data: Path, tmp_path: Path, deepspeed: str
) -> None:
    out = tmp_path / "out"
    given = (f"model={untied.base}", f"data={data}", *SMALL, *FAST, f"deepspeed={deepspeed}")
    few = ("batch_size=1", "precision=fp32")
    told = Training.said("lora", out, *given, *few, ranks=2).finish()
    total = sum(untied.outcome.trained.values())
    assert told.count(f"Training {total:,} parameters") == 1
    before = dict(mmmodal.load(untied.base).named_parameters())
    after = dict(mmmodal.load(out).named_parameters())
    assert all(p.abs().max() > 0 for name, p in after.items() if ".lora_B." in name)
    kept = [name for name in after if "_tower." in name or ".base_layer." in name]
    assert all(torch.equal(after[n], before[n.replace(".base_layer.", ".")]) for n in kept)


def test_quantization_without_adapters_is_refused() -> None:
    with pytest.raises(ConfigError, match="set train.lora"):
        load_recipe("instruct", ["model=a", "data=b", "out=c", "quantization=4bit"])


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is an extra")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_adapters_learn_on_a_quantized_model_and_merge_into_the_whole_one(
    untied: Trained, data: Path, tmp_path: Path, bits: str
) -> None:
    train(untied.base, data, tmp_path / "adapter", f"quantization={bits}", *FAST)
    assert run(["merge", str(tmp_path / "adapter"), str(tmp_path / "merged")]) == 0
    merged = mmmodal.load(tmp_path / "merged")
    torch.testing.assert_close(
        logits(merged, data), logits(mmmodal.load(tmp_path / "adapter"), data), atol=1e-4, rtol=0
    )
    assert not torch.equal(logits(merged, data), logits(mmmodal.load(untied.base), data))
