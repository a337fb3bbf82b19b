"""Recipes: found wherever a package brings them, copied, and refused with every reason at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mmmodal
from fake_packages import install, run_mmmodal
from forking import run_forked
from mmmodal.cli.main import run
from mmmodal.config import read_yaml
from mmmodal.errors import ConfigError
from mmmodal.plugins import registry
from mmmodal.train.recipe.files import find_recipe, recipe_names
from mmmodal.train.recipe.recipe import Recipe, load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from worlds import logged, read_lines, write_lines

GIVEN = ["model=m", "data=d.jsonl", "out=o"]

PAPER = """
import pathlib
import mmmodal

@mmmodal.hookimpl
def mmmodal_recipes():
    return [pathlib.Path({folder!r})]
"""


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    recipe = load_recipe(name, GIVEN)
    if recipe.made_for is not None:
        assert recipe.made_for.backbone in registry().names("backbones")
        assert set(recipe.made_for.encoders.values()) <= set(registry().names("encoders"))


@pytest.mark.parametrize(
    ("language", "own", "vision", "audio", "accumulated"),
    [
        ("qwen1.5-0.5b", "malaysian-qwen1.5-0.5b-16k", 12, 16, (6, 3)),
        ("tinyllama-1.1b", "malaysian-tinyllama-1.1b-16k", 18, 16, (8, 2)),
        ("mistral-7b", "malaysian-mistral-7b-32k", 6, 8, (4, 4)),
    ],
)
def test_the_paper_s_recipes_are_as_printed_and_as_its_code_ran(
    language: str, own: str, vision: int, audio: int, accumulated: tuple[int, int]
) -> None:
    for kind, batch in (("image", vision), ("audio", audio)):
        printed = load_recipe(f"paper-{language}-align-{kind}", GIVEN)
        ran = load_recipe(f"paper-code-{language}-align-{kind}", GIVEN)
        for each in (printed, ran):
            assert each.made_for is not None and each.made_for.backbone == own
            assert set(each.made_for.encoders) == {kind}
            assert (each.learning_rate, each.warmup_ratio) == (1e-4, 0.03)
            assert each.train.parts == {"projectors"} and each.precision == "bf16"
        assert (printed.batch_size, printed.deepspeed) == (18, "zero2-offload")
        assert (ran.batch_size, ran.deepspeed) == (batch, "none")
    printed = load_recipe(f"paper-{language}-instruct", GIVEN)
    ran = load_recipe(f"paper-code-{language}-instruct", GIVEN)
    for each in (printed, ran):
        assert each.made_for is not None and set(each.made_for.encoders) == {"image", "audio"}
        assert (each.learning_rate, each.schedule) == (2e-5, "constant")
        assert (each.max_tokens, each.deepspeed) == (8192, "zero2-offload")
        assert each.train.parts == {"projectors", "language_model"}
    assert printed.batch_size == 12
    assert (ran.batch_size, ran.accumulation) == accumulated


def test_paper_recipes_count_conversations_and_their_twins_tokens() -> None:
    names = [name for name in recipe_names() if name.startswith("paper-")]
    packed = {name for name in names if load_recipe(name, GIVEN).packing}
    assert packed == {name for name in names if name.endswith("-packed")}
    assert {name.removesuffix("-packed") for name in packed} <= set(names)
    for name in packed:
        one = load_recipe(name, GIVEN).model_dump()
        other = load_recipe(name.removesuffix("-packed"), GIVEN).model_dump()
        assert {k for k in one if one[k] != other[k]} == {"packing", "batch_size"}


def test_recipes_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "recipes", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["align"]["package"] == "mmmodal-core"
    assert rows["paper-mistral-7b-instruct"]["package"] == "mmmodal-backbones"
    assert rows["lora"]["about"].startswith("Stage 2 by adapters: the language model stays")
    assert rows["align"]["values"]["batch_size"] == 18


def test_a_copy_is_the_user_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    code, out, err = command(capsys, "recipes", "copy", "align", str(mine))
    assert (code, out) == (0, f"{mine}\n") and "mmmodal train" in err
    assert read_yaml(mine) == read_yaml(find_recipe("align").path)
    assert load_recipe(str(mine), GIVEN) == load_recipe("align", GIVEN)
    code, _, err = command(capsys, "recipes", "copy", "lora", str(mine))
    assert code == 1 and "exists already" in err
    code, _, err = command(capsys, "recipes", "copy", "lorra", str(tmp_path / "x.yaml"))
    assert code == 1 and "Did you mean 'lora'?" in err
    code, _, err = command(capsys, "recipes", "copy", "lora", str(tmp_path / "mine"))
    assert code == 1 and "ends in .yaml" in err


def test_a_package_brings_recipes_and_a_name_of_two_is_refused(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "ours.yaml").write_text("# Ours. And more.\ntrain: [projectors]\n")
        install(tmp_path, f"mmmodal-{name}", PAPER.format(folder=str(folder)))
    alone = run_forked("recipes", "show", "ours", path=tmp_path, MMMODAL_PLUGINS="first")
    assert alone.stdout == "# Ours. And more.\ntrain: [projectors]\n"
    both = run_forked("train", "ours", path=tmp_path)
    assert both.returncode == 1
    assert "recipe 'ours' is provided by mmmodal-first" in both.stderr


def test_a_folder_that_is_none_fails_the_plugin_alone(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-wrong", PAPER.format(folder="/no/such/folder"))
    told = run_mmmodal("plugins", path=tmp_path)
    assert told.returncode == 0
    assert "not the Path of a folder" in told.stdout and "mmmodal-core" in told.stdout


def test_a_recipe_s_errors_come_all_at_once_with_line_and_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# mine\n"
        "train:\n"
        "  parts: [projectors, markers]\n"
        "learning_rat: 1.0e-4\n"
        "schedule: cosin\n"
        "batch_size: 0\n"
        "data:\n"
        "  - a.jsonl\n"
        "  - {path: b.jsonl, weigth: 2}\n"
        "  - path: c.jsonl\n"
        "    format: lava\n"
        "deepspeed: zero4\n"
        "max_tokens: 0\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(path), ["out=o", "max_tokens=-1"])
    told = caught.value.problems
    assert "'model' is missing" in told and "'learning_rate' is missing" in told
    assert "line 4: unknown key 'learning_rat'. Did you mean 'learning_rate'?" in told
    assert any(t.startswith("line 5: 'schedule'") and "mean 'cosine'?" in t for t in told)
    assert any(t.startswith("line 6: 'batch_size': input should be greater") for t in told)
    assert "line 9: unknown key 'data.1.weigth'. Did you mean 'weight'?" in told
    assert any(t.startswith("line 11: 'data.2.format'") and "mean 'llava'?" in t for t in told)
    assert any(t.startswith("line 12: 'deepspeed'") and "mean 'zero3'?" in t for t in told)
    # The command line replaced what line 13 says.
    assert any(t.startswith("'max_tokens': input should be greater") for t in told)
    assert len(told) == 9


def test_a_list_whose_only_item_is_wrong_is_not_called_too_short_besides() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("align", ["model=m", "out=o", "data=[{path: a.jsonl, weigth: 2}]"])
    assert caught.value.problems == ("unknown key 'data.0.weigth'. Did you mean 'weight'?",)
    with pytest.raises(ConfigError, match="'data': tuple should have at least 1 item"):
        load_recipe("align", ["model=m", "out=o", "data=[]"])


def test_a_rate_of_what_does_not_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="names language_model, which is not trained"):
        load_recipe("align", [*GIVEN, "train.learning_rates.language_model=1e-3"])
    load_recipe("lora", [*GIVEN, "train.learning_rates.language_model=1e-3"])


def test_an_unknown_reporter_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    given = ["model=m", "data=d.jsonl", f"out={tmp_path / 'out'}"]
    with pytest.raises(ConfigError, match=r"'tensorbord' is unknown. Did you mean 'tensorboard'"):
        run_stage(load_recipe("align", [*given, "report_to=tensorbord"]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_records(tmp_path_factory.mktemp("data"), 24)
    rows = read_lines(path)
    chosen = [row for row in rows if {medium["kind"] for medium in row["media"]} == {"image"}]
    write_lines(path, chosen)
    return path


def trained(start: Path, data: Path, out: Path, recipe: str, *more: str) -> Recipe:
    settings = [
        f"model={start}", f"out={out}", "batch_size=2", "max_steps=1", "max_tokens=512",
        "schedule=constant", "warmup_ratio=0", "log_every=1", *more,
    ]  # fmt: skip
    if not any(text.startswith("data=") for text in more):
        settings.append(f"data={data}")
    loaded = load_recipe(recipe, settings)
    run_stage(loaded)
    return loaded


def largest_moves(before: Path, after: Path) -> dict[str, float]:
    """Return how far the weight that moved most went, for each part of a model."""
    one, two = (mmmodal.load(folder).state_dict() for folder in (before, after))
    moves: dict[str, float] = {}
    for name in one:
        part = name.split(".")[1] if name.startswith("model.") else "language_model"
        moves[part] = max(moves.get(part, 0.0), float((one[name] - two[name]).abs().max()))
    return moves


def test_each_part_moves_at_its_own_rate(start: Path, data: Path, tmp_path: Path) -> None:
    """AdamW's first step moves every weight that has a gradient by its rate."""
    rates = "train={parts: [projectors, language_model], learning_rates: {projectors: 1.0e-2}}"
    trained(start, data, tmp_path / "out", "instruct", rates, "learning_rate=1e-3")
    moves = largest_moves(start, tmp_path / "out")
    assert moves["image_projector"] == pytest.approx(1e-2, rel=1e-3)
    assert moves["language_model"] == pytest.approx(1e-3, rel=1e-3)
    assert moves["image_tower"] == 0


def test_adapters_move_at_the_rate_of_their_part(start: Path, data: Path, tmp_path: Path) -> None:
    from mmmodal.adapters.folder import find_adapter

    trained(
        start, data, tmp_path / "out", "lora", "learning_rate=1e-3", "train.lora.dropout=0",
        "train.learning_rates={language_model: 1.0e-2, markers: 2.0e-2}",
    )  # fmt: skip
    adapter = find_adapter(tmp_path / "out")
    assert adapter is not None
    tensors = adapter.tensors()
    before = mmmodal.load(start).state_dict()
    thin = [value.abs().max() for name, value in tensors.items() if name.endswith("lora_B.weight")]
    assert max(thin) == pytest.approx(1e-2, rel=1e-3)  # they begin at zero
    projector = [
        (value - before[name.removeprefix("base_model.model.")]).abs().max()
        for name, value in tensors.items()
        if "_projector" in name
    ]
    assert max(projector) == pytest.approx(1e-3, rel=1e-3)


def test_datasets_of_other_formats_and_weights_train_together(
    start: Path, data: Path, tmp_path: Path
) -> None:
    rows = read_lines(data)
    llava: dict[str, Any] = {
        "id": "1",
        "image": rows[0]["media"][0]["uri"],
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": "A circle."},
        ],
    }
    other = tmp_path / "llava.json"
    other.write_text(json.dumps([llava]))
    mix = f"data=[{data}, {{path: {other}, weight: 3, format: llava, root: {data.parent}}}]"
    trained(
        start, data, tmp_path / "out", "align", mix, "max_steps=null", "epochs=1", "batch_size=1"
    )
    steps = [row["step"] for row in logged(tmp_path / "out")]
    assert max(steps) == len(rows) + 3
    noted = json.loads((tmp_path / "out/run/recipe.json").read_text())
    assert noted["data"] == [str(data), str(other)]
    assert noted["mix"][1]["weight"] == 3


@pytest.mark.parametrize("streaming", [False, True])
def test_shards_that_a_pattern_names_train_as_one_data_set(
    start: Path, data: Path, tmp_path: Path, streaming: bool
) -> None:
    rows = read_lines(data)
    for shard in range(3):
        write_lines(tmp_path / f"train-{shard}.jsonl", rows[shard::3])
    pattern = f"{tmp_path}/train-{{0..2}}.jsonl"
    mix = f'data=[{{path: "{pattern}", root: {data.parent}, streaming: {str(streaming).lower()}}}]'
    more = ["max_steps=2"] if streaming else ["max_steps=null", "epochs=1", "batch_size=1"]
    trained(start, data, tmp_path / "out", "align", mix, *more)
    steps = [row["step"] for row in logged(tmp_path / "out")]
    assert max(steps) == (2 if streaming else len(rows))
    assert json.loads((tmp_path / "out/run/recipe.json").read_text())["data"] == [pattern]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("./a.jsonl", "a.jsonl"),
        ("data/", "data"),
        ("hf://datasets/lab/one@main/a.jsonl", "hf://datasets/lab/one@main/a.jsonl"),
        ("'shards/{000..123}.tar'", "shards/{000..123}.tar"),
    ],
)
def test_a_path_of_data_is_kept_as_it_is_written(given: str, expected: str) -> None:
    loaded = load_recipe("align", [*GIVEN, f"data=[{{path: {given}, split: train}}]"])
    assert loaded.data[0].path == expected
    assert loaded.fingerprint()["mix"] == [{"path": expected, "split": "train"}]


def test_a_format_that_rows_do_not_have_names_the_row(
    start: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(mmmodal.MMModalError, match=r"records\.jsonl:1: "):
        trained(start, data, tmp_path / "out", "align", f"data=[{{path: {data}, format: llava}}]")


def test_metrics_reach_tensorboard(start: Path, data: Path, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    evaluated = [f"eval={data}", "evaluators={}", "eval_every=1"]
    given = ["report_to=tensorboard", "max_steps=3", *evaluated]
    trained(start, data, tmp_path / "out", "align", *given)
    read = events.EventAccumulator(str(tmp_path / "out/run/tensorboard")).Reload()
    assert [event.step for event in read.Scalars("train/loss")] == [1, 2, 3]
    assert [event.step for event in read.Scalars("eval/loss")] == [0, 1, 2, 3]


def test_settings_given_twice_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("batch_size: 1\nbatch_size: 2\n")
    with pytest.raises(ConfigError, match="line 2: 'batch_size' is given twice"):
        load_recipe(str(path), GIVEN)


STREAMED = ["model=m", "data={path: d.jsonl, streaming: true}", "out=o"]


def test_streamed_data_need_a_number_of_steps() -> None:
    with pytest.raises(ConfigError, match="set max_steps: the number of records of streamed data"):
        load_recipe("align", STREAMED)
    recipe = load_recipe("align", [*STREAMED, "max_steps=5"])
    assert recipe.streams and recipe.data[0].summary() == {"path": "d.jsonl", "streaming": True}


def test_streamed_data_have_no_feature_cache() -> None:
    with pytest.raises(ConfigError, match="feature_cache needs a list of all media, which"):
        load_recipe("align", [*STREAMED, "max_steps=5", "feature_cache=features"])


def test_a_run_that_knows_no_window_can_go_on() -> None:
    """Runs of earlier versions have not noted `shuffle_window`."""
    assert load_recipe("align", GIVEN).fingerprint()["shuffle_window"] is None
    changed = load_recipe("align", [*GIVEN, "shuffle_window=7"])
    assert changed.fingerprint()["shuffle_window"] == 7
