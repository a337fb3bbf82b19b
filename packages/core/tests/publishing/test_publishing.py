"""What is published, what the card says, and what the Hub is told: over HTTP, to a local server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import constants

import mmmodal
from local_hub import LocalHub, Repository, instead_of_the_hub, local_hub
from mmmodal.cli.main import run
from mmmodal.publishing.card import is_ours
from mmmodal.publishing.upload import Publication, prepare
from mmmodal.train.recipe.recipe import load_recipe
from mmmodal.train.stage.stage import run_stage
from mmmodal_playground.records import make_records
from worlds import compose, logged

MODEL_FILES = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def trained(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model that was composed, aligned, and given an adapter."""
    root = tmp_path_factory.mktemp("secret-place")
    data = make_records(root / "data", 4)
    compose(parts["llama"], parts, root / "start")
    few = ["batch_size=2", "max_steps=2", "log_every=1", "max_tokens=512", f"data={data}"]
    for stage, source, out in (("align", "start", "aligned"), ("lora", "aligned", "adapter")):
        given = [f"model={root / source}", f"out={root / out}", *few]
        run_stage(load_recipe(stage, given))
    return {"root": root, "model": root / "aligned", "adapter": root / "adapter"}


@pytest.fixture
def model(trained: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to add to."""
    return shutil.copytree(trained["model"], tmp_path / "model")


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with local_hub() as running:
        yield running


class Push:
    """The command in this process, or as a process of its own."""

    def __init__(self, hub: LocalHub, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.hub, self.cache, self.capfd = hub, cache, capfd

    def __call__(
        self, *arguments: object, token: str | None = "good"
    ) -> subprocess.CompletedProcess[str]:
        with instead_of_the_hub(self.hub, self.cache) as patch:
            patch.setattr(constants, "HF_TOKEN_PATH", str(self.cache / "token"))
            patch.setattr(constants, "HF_STORED_TOKENS_PATH", str(self.cache / "tokens"))
            patch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
            patch.setenv("HF_TOKEN", token or "")
            self.capfd.readouterr()
            code = run(["push", *map(str, arguments)])
        return subprocess.CompletedProcess([], code, *self.capfd.readouterr())

    def alone(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": "good",
        }
        command = [sys.executable, "-m", "mmmodal", "push", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def push(hub: LocalHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Push:
    return Push(hub, tmp_path / "hub", capfd)


def dry(folder: Path, *more: str) -> Publication:
    return prepare(folder, "lab/model", *more)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 1 and done.stdout == "", done.stderr
    assert "Traceback" not in done.stderr
    assert lines[-1].startswith("Error: "), done.stderr
    for word in words:
        assert word in lines[-1], lines[-1]


def test_a_model_is_pushed_and_loads_from_what_arrived(
    push: Push, hub: LocalHub, model: Path, tmp_path: Path
) -> None:
    done = push.alone(model, "lab/whole", "--private", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["url"] == f"{hub.url}/lab/whole/commit/{1:040x}"
    arrived = hub.repositories["lab/whole"]
    assert arrived.private and arrived.commits == 1
    assert set(arrived.files) == MODEL_FILES == {file["file"] for file in told["files"]}
    for name, content in arrived.files.items():
        path = tmp_path / "arrived" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    before, after = mmmodal.load(model), mmmodal.load(tmp_path / "arrived")
    there = after.state_dict()
    assert all(torch.equal(value, there[name]) for name, value in before.state_dict().items())


def test_only_files_of_the_model_are_pushed(model: Path) -> None:
    """The run's log, checkpoints, optimizer and notes of the user stay here."""
    (model / "run/checkpoints/checkpoint-2").mkdir(parents=True)
    for name in ("optimizer.pt", "notes.txt", "train.log", ".env", "training_args.bin"):
        (model / name).write_text("x")
    publication = dry(model)
    assert {file.name for file in publication.files} == MODEL_FILES
    assert set(publication.left_out) == {
        "run/", "optimizer.pt", "notes.txt", "train.log", "training_args.bin",
    }  # fmt: skip


def test_all_shards_and_a_licence_are_pushed(model: Path) -> None:
    loaded = mmmodal.load(model)
    (model / "model.safetensors").unlink()
    loaded.save_pretrained(model, max_shard_size="300KB")
    (model / "LICENSE").write_text("mine")
    names = {file.name for file in dry(model).files}
    shards = {path.name for path in model.glob("model-*.safetensors")}
    assert len(shards) > 1 and shards | {"LICENSE", "model.safetensors.index.json"} <= names
    sorted(model.glob("model-*.safetensors"))[0].unlink()
    with pytest.raises(mmmodal.MMModalError, match=r"model-00001-of-.*safetensors is missing"):
        dry(model)


def test_no_place_of_this_machine_is_published(trained: dict[str, Path]) -> None:
    for folder, base in ((trained["model"], None), (trained["adapter"], "lab/base")):
        for file in prepare(folder, "lab/model", base).files:
            content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
            for secret in (b"secret-place", str(trained["root"]).encode(), b"/tmp/", b"/home/"):
                assert secret not in content, file.name


def test_the_card_says_what_is_known(trained: dict[str, Path]) -> None:
    card = dry(trained["model"]).card
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["library_name"] == "mmmodal" and front["pipeline_tag"] == "any-to-any"
    assert {"image", "audio"} <= set(front["tags"])
    assert "| language model | `LlamaForCausalLM` | unknown |" in card
    assert re.search(r"\| image encoder \| `siglip` \| unknown \| mmmodal-vision-siglip 0", card)
    stage = next(line for line in card.splitlines() if line.startswith("| 1 |"))
    assert "markers, projectors" in stage and "`records.jsonl` | 4 |" in stage
    assert "learning_rate 0.0001" in stage and "| 2 |" in stage
    losses = [row["loss"] for row in logged(trained["model"])]
    assert f"{losses[0]:.3f} to {losses[-1]:.3f}" in stage
    assert f"stage 1 trained with mmmodal-core {version('mmmodal-core')}" in card
    assert (
        "The model's folder has no measured results" in card
        and "The licence of these weights is not stated" in card
    )


def version(name: str) -> str:
    from importlib.metadata import version as installed

    return installed(name)


def test_a_model_that_was_never_trained_claims_nothing(trained: dict[str, Path]) -> None:
    card = dry(trained["root"] / "start").card
    assert "Its training is not known." in card
    assert "license" not in yaml.safe_load(card.split("---\n")[1])


def test_a_published_source_is_named_with_its_licence(model: Path) -> None:
    """As composing from presets notes them; no weights can be downloaded here."""
    config = json.loads((model / "config.json").read_text())
    config["text_config"]["_name_or_path"] = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
    config["image_config"]["encoder"] = "siglip-base-384"
    config["image_config"]["_name_or_path"] = "google/siglip-base-patch16-384"
    (model / "config.json").write_text(json.dumps(config))
    from mmmodal.publishing.card import make_card
    from mmmodal.publishing.facts import read_facts

    card = make_card(read_facts(model), "lab/model")
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == [
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "google/siglip-base-patch16-384",
    ]  # fmt: skip
    row = next(line for line in card.splitlines() if "`siglip-base-384`" in line)
    assert "https://huggingface.co/google/siglip-base-patch16-384" in row and "Apache-2.0" in row


def test_composing_notes_no_folder_of_this_machine(trained: dict[str, Path]) -> None:
    config = json.loads((trained["root"] / "start/config.json").read_text())
    for part in ("image_config", "audio_config", "text_config"):
        assert "_name_or_path" not in config[part]


def test_measured_results_are_in_the_card(model: Path) -> None:
    tasks = {"image_en": {"accuracy": 0.912, "n": 240, "majority": 0.25}}
    (model / "results.json").write_text(json.dumps({"tasks": tasks, "seconds": 1}))
    card = dry(model).card
    assert (
        "| image_en | 0.912 | 0.250 | 240 |" in card
        and "The model's folder has no measured results" not in card
    )


def test_the_code_in_the_card_runs(trained: dict[str, Path], tmp_path: Path) -> None:
    """With the folders in the place of the repositories."""
    picture = next((trained["root"] / "data/media").glob("*.png"))
    clip = next((trained["root"] / "data/media").glob("*.wav"))
    script = []
    for folder, base in (("model", None), ("adapter", "lab/base")):
        card = prepare(trained[folder], "lab/model", base).card
        code = "\n".join(re.findall(r"```python\n(.*?)```", card, re.S))
        code = code.replace("lab/model", str(trained[folder]))
        code = code.replace("lab/base", str(trained["model"]))
        code = code.replace('"image", "path": "FILE"', f'"image", "path": "{picture}"')
        script.append(code.replace('"audio", "path": "FILE"', f'"audio", "path": "{clip}"'))
    joined = "\n".join(script).replace(
        "Chat(mmmodal.load", "Chat(max_new_tokens=2, model=mmmodal.load"
    )
    done = subprocess.run(
        [sys.executable, "-c", joined], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_card_that_a_user_wrote_is_kept(push: Push, hub: LocalHub, model: Path) -> None:
    (model / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    assert push(model, "lab/mine").returncode == 0
    assert hub.repositories["lab/mine"].files["README.md"].decode().endswith("# Mine\n")
    assert (model / "README.md").read_text().endswith("# Mine\n")


def test_a_card_that_was_edited_on_the_hub_is_kept(push: Push, hub: LocalHub, model: Path) -> None:
    card = dry(model).card
    assert is_ours(card) and not is_ours(card.replace("A chat model", "My chat model"))
    for before, after in (("# Mine\n", "# Mine\n"), (card.replace("\r", ""), None)):
        hub.repositories["lab/edited"] = Repository(False, {"README.md": before.encode()})
        done = push(model, "lab/edited")
        assert done.returncode == 0, done.stderr
        now = hub.repositories["lab/edited"].files
        assert "model.safetensors" in now
        assert (now["README.md"].decode() == after) if after else is_ours(now["README.md"].decode())


def test_an_adapter_is_pushed_with_its_base_by_name(
    push: Push, hub: LocalHub, trained: dict[str, Path]
) -> None:
    refused(push(trained["adapter"], "lab/adapter"), "which is not published", "--base")
    done = push(trained["adapter"], "lab/adapter", "--base", "lab/base")
    assert done.returncode == 0, done.stderr
    files = hub.repositories["lab/adapter"].files
    assert set(files) == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "mmmodal_adapter.json",
    }  # fmt: skip
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "lab/base"
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["base_model"] == "lab/base" and front["library_name"] == "peft"
    assert "LoRA of rank 16 on language model" in files["README.md"].decode()
    kept = json.loads((trained["adapter"] / "adapter_config.json").read_text())
    assert kept["base_model_name_or_path"] == str(trained["model"])


def test_an_upload_that_breaks_off_commits_nothing(push: Push, hub: LocalHub, model: Path) -> None:
    hub.breaks_after = len(hub.large)
    loaded = mmmodal.load(model)
    with torch.no_grad():
        loaded.lm_head.weight[0] += 1  # a file that the server does not have
    loaded.save_pretrained(model)
    try:
        refused(push(model, "lab/broken"), "nothing was published", "the same command")
        assert hub.repositories["lab/broken"].commits == 0
    finally:
        hub.breaks_after = None
    assert push(model, "lab/broken").returncode == 0
    assert hub.repositories["lab/broken"].commits == 1


REFUSALS: dict[str, tuple[list[str], str | None, list[str]]] = {
    "no token": (["lab/x"], None, ["not logged in", "hf auth login"]),
    "unknown token": (["lab/x"], "stolen", ["does not know this token"]),
    "no right": (["lab/x"], "reader", ["no write access to lab/x"]),
    "another's": (["others/x"], "good", ["no write access to others/x"]),
    "no owner": (["model"], "good", ["OWNER/NAME"]),
    "malformed": (["lab/my model"], "good", ["OWNER/NAME"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line(
    push: Push, hub: LocalHub, trained: dict[str, Path], case: str
) -> None:
    arguments, token, words = REFUSALS[case]
    refused(push(trained["model"], *arguments, token=token), *words)
    assert not {"lab/x", "others/x", "model"} & hub.repositories.keys()


def test_a_public_repository_is_not_taken_for_a_private_one(
    push: Push, hub: LocalHub, trained: dict[str, Path]
) -> None:
    hub.repositories["lab/open"] = Repository(False)
    refused(push(trained["model"], "lab/open", "--private"), "exists and is public")
    assert hub.repositories["lab/open"].commits == 0


def test_an_unreachable_hub_is_told(
    trained: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    push = Push(LocalHub(url="http://127.0.0.1:9"), tmp_path, capfd)
    refused(push(trained["model"], "lab/x"), "could not be published", "nothing was published")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "is damaged"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
    ],
    ids=["no folder", "no config", "no weights", "damaged weights", "no tokenizer"],
)
def test_what_is_no_whole_model_is_not_published(model: Path, damage: Any, words: str) -> None:
    damage(model)
    with pytest.raises(mmmodal.MMModalError, match=words):
        dry(model)


def test_a_dry_run_shows_files_and_card_and_asks_nobody(
    trained: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert run(["push", str(trained["model"]), "lab/model", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "lab/model/model.safetensors" in out and "Not published: run/" in out
    assert "# model\n" in out and "MB  in total" in out
