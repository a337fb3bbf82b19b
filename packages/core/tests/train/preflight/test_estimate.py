"""`--check` says what a stage would take, without a weight and without a step."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mmmodal
from mmmodal.cli.main import run
from mmmodal.errors import CheckpointError, RecordError
from mmmodal.records.dataset import RecordDataset
from mmmodal.samples.collation import Sample
from mmmodal.samples.dataset import PreparedDataset
from mmmodal.samples.feature_cache.filling import fill_cache
from mmmodal.samples.feature_cache.settings import Cache
from mmmodal.train.loop.trainable import choose
from mmmodal.train.preflight.findings import Checked, Machine
from mmmodal.train.preflight.live_memory import LiveMemory
from mmmodal.train.preflight.preflight import check_recipe
from mmmodal.train.preflight.zero_memory import Zero
from mmmodal.train.recipe.recipe import Recipe, load_recipe
from mmmodal.train.stage.inputs import frozen_tower, use_stored
from mmmodal.train.stage.pack_check import attend_by_sample
from mmmodal.train.stage.stage import cache_features, run_stage
from mmmodal_playground.records import make_records
from worlds import read_lines, write_lines

HERE = Machine(has_gpu=False, memory=None)
KINDS = ("image", "audio")
STAGES = {
    "align": ("align", []),
    "instruct": ("instruct", []),
    "lora": ("lora", ["train.lora.dropout=0"]),
    "towers": ("instruct", ["train=[projectors, language_model, towers]"]),
    "eager": ("instruct", ["attn_implementation=eager"]),
    "packed": ("align", ["packing=true", "batch_size=1"]),
    "stored": ("align", ["feature_cache=features"]),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_records(tmp_path_factory.mktemp("data"), 12)


def recipe_of(name: str, start: Path, data: Path, out: Path, *more: str) -> Recipe:
    recipe, changes = STAGES[name]
    given = [f"model={start}", f"data={data}", f"out={out}", "batch_size=3", "max_tokens=512"]
    return load_recipe(recipe, [*given, *changes, *more])


def test_memory_is_counted_while_it_is_held_and_no_longer() -> None:
    weight = nn.Parameter(torch.ones(1000, 1000))
    values = torch.ones(1000, 1000)
    with LiveMemory() as memory:
        product = values @ weight  # 4 MB
        kept = product.relu()  # 4 MB, which the backward pass needs
        del product
        assert memory.now == 4_000_000 and memory.peak == 8_000_000
        again = kept.view(-1)[:10]  # no memory of its own
        assert memory.now == 4_000_000
        del kept, again
        assert memory.now == 0


@pytest.mark.parametrize("name", STAGES)
def test_what_is_estimated_is_what_a_step_on_real_tensors_holds(
    name: str, start: Path, data: Path, tmp_path: Path
) -> None:
    """The same forward and backward pass, once on tensors without bytes and once on real ones."""
    recipe = recipe_of(name, start, data, tmp_path / "out")
    said = check_recipe(recipe, HERE).memory
    assert said is not None and not said.unknown
    model = mmmodal.load(start, dtype="fp32", attn_implementation=recipe.attn_implementation)
    if recipe.packing:
        attend_by_sample(model)
    choose(model, recipe.train.parts, recipe.train.lora)
    if recipe.feature_cache:
        preparer, cache = model.processor.preparer, Cache(tmp_path / "features")
        media = PreparedDataset([RecordDataset(data)], preparer, max_tokens=512).media(KINDS)
        towers = {kind: frozen_tower(model, kind, cache) for kind in KINDS}
        for kind, store in fill_cache(towers, media, preparer, cache).items():
            use_stored(model, kind, store)
    model.train()
    sizes = [p.numel() * p.element_size() for p in model.parameters()]
    trained = [p.numel() * p.element_size() for p in model.parameters() if p.requires_grad]
    assert said.weights == sum(sizes)
    assert said.gradients == sum(trained)
    assert said.optimizer == 2 * sum(trained)
    batch = longest_batch(model, data, recipe)
    with LiveMemory() as held:
        model(**batch, skip_logits=True).loss.backward()
    step = said.gradients + said.activations + said.logits
    assert step == pytest.approx(held.peak, rel=0.1)


def longest_batch(model: Any, data: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Collate the longest conversation several times, once without its end, so that it is padded.

    With packing a pack is full of it, and of its beginning.
    """
    dataset = PreparedDataset([RecordDataset(data)], model.processor.preparer, max_tokens=512)
    longest = max((dataset[i] for i in range(len(dataset))), key=lambda s: len(s.input_ids))
    length = len(longest.input_ids)
    if recipe.packing:
        more = recipe.max_tokens % length
        end = Sample(longest.input_ids[-more:], longest.labels[-more:])
        pack = [longest] * (recipe.max_tokens // length) + [end]
        return dict(model.processor.preparer.collate_pack(pack))
    short = replace(longest, input_ids=longest.input_ids[:-1], labels=longest.labels[:-1])
    return dict(model.processor.preparer.collate([longest] * (recipe.batch_size - 1) + [short]))


def test_checkpointing_takes_less_and_accumulation_more(
    start: Path, data: Path, tmp_path: Path
) -> None:
    def total(*more: str) -> int:
        memory = check_recipe(recipe_of("instruct", start, data, tmp_path, *more), HERE).memory
        assert memory is not None
        return memory.total

    plain = total()
    assert total("gradient_checkpointing=true") < plain < total("accumulation=2")


def test_no_weight_is_read(start: Path, data: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(start, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    checked = check_recipe(recipe_of("align", bare, data, tmp_path / "out"), HERE)
    assert checked.problems == [] and checked.memory is not None
    assert not (tmp_path / "out").exists()


def test_zero_shares_what_its_stage_shares() -> None:
    sizes = {"weights": 2_000_000, "trained": 1_000_000, "size": 2}
    stage2 = Zero.of({"zero_optimization": {"stage": 2, "reduce_bucket_size": 0}})
    assert stage2.share(**sizes, ranks=4) == {
        "weights": 2_000_000, "gradients": 500_000, "optimizer": 3_000_000, "host": 0,
    }  # fmt: skip
    section = {"stage": 2, "reduce_bucket_size": 0, "offload_optimizer": {"device": "cpu"}}
    offload = Zero.of({"zero_optimization": section}).share(**sizes, ranks=4)
    assert (offload["gradients"], offload["optimizer"]) == (0, 0)
    assert offload["host"] == 18_000_000
    section = {"stage": 3, "reduce_bucket_size": 0, "stage3_max_live_parameters": 0}
    assert Zero.of({"zero_optimization": section}).share(**sizes, ranks=4)["weights"] == 500_000


def test_the_check_counts_the_steps_that_training_then_takes(
    start: Path, data: Path, tmp_path: Path
) -> None:
    """18 conversations an epoch, of which 5 in a batch leave 3: the next epoch fills it up."""
    mix = f"data=[{{path: {data}, weight: 0.5}}, {data}]"
    more = (mix, "epochs=2", "batch_size=5")
    recipe = recipe_of("align", start, data, tmp_path / "out", *more)
    checked = check_recipe(recipe, HERE)
    assert checked.problems == []
    assert [row["in_an_epoch"] for row in checked.datasets] == [6, 12]
    assert checked.samples == 18
    assert checked.steps == run_stage(recipe).steps == 8


def test_the_check_packs_as_training_does(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("packing=true", "batch_size=1", "max_tokens=300", "epochs=2")
    recipe = recipe_of("align", start, data, tmp_path / "out", *more)
    checked = check_recipe(recipe, HERE)
    assert checked.steps == checked.packs == run_stage(recipe).steps
    said = (
        f"into {checked.packs} packs of up to 300 tokens, which are {checked.utilisation:.1%} full"
    )
    assert said in capsys.readouterr().err


def test_the_check_says_what_stored_features_take_and_whether_they_fit(
    start: Path, data: Path, tmp_path: Path
) -> None:
    cache = f"feature_cache={tmp_path / 'features'}"
    recipe = recipe_of("align", start, data, tmp_path / "out", cache)
    checked = check_recipe(recipe, HERE)
    assert checked.problems == [] and checked.stored_bytes
    kept = sum(
        store.read(sha256.hex()).nbytes
        for store in cache_features(recipe).values()
        for sha256 in store._places
    )
    assert checked.stored_bytes == pytest.approx(kept, rel=0.1)
    small = recipe_of("align", start, data, tmp_path / "out", cache, "feature_cache_limit=1kB")
    (problem,) = check_recipe(small, HERE).problems
    assert "media take about" in problem and "can hold only 1.0 KB; raise" in problem


def test_data_that_are_not_there_are_told_before_a_weight_is_read(
    start: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(start, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    recipe = recipe_of("align", bare, tmp_path / "none.jsonl", tmp_path / "out")
    with pytest.raises(RecordError, match=r"none\.jsonl: no such file"):
        run_stage(recipe)


def test_the_tokens_of_an_epoch_are_those_of_its_conversations(
    start: Path, data: Path, tmp_path: Path
) -> None:
    from mmmodal.making.loading import load_processor

    """Of a dataset that counts twice, each conversation is counted twice."""
    few = data.with_name("few.jsonl")
    few.write_text("\n".join(data.read_text().splitlines()[:3]) + "\n")
    mix = f"data=[{data}, {{path: {few}, weight: 2}}]"
    checked = check_recipe(recipe_of("align", start, data, tmp_path / "out", mix), HERE)
    preparer = load_processor(start).preparer
    dataset = PreparedDataset([RecordDataset(data)], preparer, max_tokens=512)
    lengths = [len(dataset[index].input_ids) for index in range(len(dataset))]
    assert checked.tokens == sum(lengths) + 2 * sum(lengths[:3])
    assert checked.lengths is not None and checked.lengths.longest == max(lengths)


def test_all_that_stands_against_a_stage_is_told_at_once(
    start: Path, data: Path, tmp_path: Path
) -> None:
    rows = read_lines(data)
    rows[3]["media"] = [{"kind": "image", "uri": "gone.png"}]
    rows[3]["messages"][0]["content"] = [{"type": "image", "media": 0}]
    rows[5] = {"neither": "known"}
    bad = data.with_name("bad.jsonl")
    write_lines(bad, rows)
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    checked = check_recipe(recipe_of("align", start, bad, out), HERE)
    told = "\n".join(checked.problems)
    assert "is not a training run" in told
    assert "bad.jsonl:6: no format has its keys" in told
    checked = check_recipe(recipe_of("align", start, bad, tmp_path / "new"), HERE)
    assert [problem for problem in checked.problems if "bad.jsonl:6" in problem]
    rows.pop(5)
    write_lines(bad, rows)
    checked = check_recipe(recipe_of("align", start, bad, tmp_path / "new"), HERE)
    assert [problem for problem in checked.problems if "bad.jsonl:4" in problem]
    skipping = recipe_of("align", start, bad, tmp_path / "new", "on_bad_sample=skip")
    checked = check_recipe(skipping, HERE)
    assert checked.problems == [] and checked.memory is not None
    assert [note for note in checked.notes if "bad.jsonl:4" in note]


def test_a_model_that_is_not_there_says_how_to_compose_it(tmp_path: Path, data: Path) -> None:
    recipe = load_recipe(
        "paper-mistral-7b-align-image", [f"model={tmp_path / 'no'}", f"data={data}", "out=o"]
    )
    with pytest.raises(CheckpointError, match="--backbone malaysian-mistral-7b-32k --encoder"):
        check_recipe(recipe, HERE)


def test_another_language_model_than_a_recipe_is_for_is_told(
    start: Path, data: Path, tmp_path: Path
) -> None:
    given = [f"model={start}", f"data={data}", f"out={tmp_path / 'out'}", "batch_size=1"]
    recipe = load_recipe("paper-tinyllama-1.1b-instruct", [*given, "deepspeed=none"])
    told = "\n".join(check_recipe(recipe, HERE).notes)
    assert "made for the language model malaysian-tinyllama-1.1b-16k" in told
    assert "the language model has only 2,048 positions" in told


def published_size(start: Path, folder: Path) -> Path:
    """Make a folder without weights whose language model has the shapes of Mistral-7B."""
    shutil.copytree(start, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 32064, "max_position_embeddings": 32768, "dtype": "bfloat16",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow  # every operation of 32 layers, twice for each of four estimates
@pytest.mark.timeout(900)
def test_what_does_not_fit_is_said_before_anything_is_loaded(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = published_size(start, tmp_path / "large")
    arguments = [
        "train", "instruct", f"model={large}", f"data={data}", f"out={tmp_path / 'out'}",
        "batch_size=1", "gradient_checkpointing=true", "--check", "--json", "--gpus", "8",
    ]  # fmt: skip
    assert run([*arguments, "--gpu-memory", "16GB"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"] and "a GPU has 16.0 GB" in told["problems"][0]
    parameters = 7_241_732_096  # of Mistral-7B
    assert told["memory"]["weights"] == pytest.approx(2 * parameters, rel=0.01)
    assert told["memory"]["optimizer"] == 0  # offloaded
    assert told["memory"]["host"] == pytest.approx(18 * parameters, rel=0.01)
    assert run([*arguments, "--gpu-memory", "80GB"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_the_check_is_readable(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"model={start}", f"data={data}", f"out={tmp_path / 'out'}", "batch_size=3"]
    assert run(["train", "align", *given, "max_tokens=512", "--check"]) == 0
    out = capsys.readouterr().out
    assert "IN AN EPOCH" in out and "An epoch: 12 conversations" in out
    assert "image_projector" in out and "markers" in out
    assert "Memory of this machine in a step of 3 x " in out
    assert out.endswith("No problems found.\n")


def test_the_machine_is_described_with_the_check_alone(
    start: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["train", "align", f"model={start}", f"data={data}", f"out={tmp_path / 'out'}"]
    assert run([*given, "--gpus", "2"]) == 2
    assert "need --check" in capsys.readouterr().err
    assert run([*given, "--check", "--gpu-memory", "much"]) == 2
    assert "is not a size such as 80GB" in capsys.readouterr().err


def test_nothing_is_known_of_what_was_not_looked_at() -> None:
    assert Checked().tokens is None
