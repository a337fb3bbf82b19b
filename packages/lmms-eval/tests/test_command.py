"""lmms-eval's own command gives the answers that core gives, on a task of local files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mmmodal
from mmmodal.authoring.records import read_records
from mmmodal.authoring.training import Answer, Dialogue, answer_dialogues
from mmmodal_playground.records import make_records
from worlds import ROOT

PYTHON = ROOT / "build/lmms-eval/bin/python"
TASKS = Path(__file__).with_name("tasks")
CHOICES = ["a red circle", "a blue star", "yes", "no"]
COMMON = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
output_type: {output}
doc_to_text: !function conversations.text
doc_to_visual: !function conversations.visuals
"""
GENERATED = """
generation_kwargs: {max_new_tokens: 12, temperature: 0, top_p: 1.0, num_beams: 1, do_sample: false}
doc_to_target: !function conversations.target
process_results: !function conversations.score
metric_list: [{metric: results, aggregation: mean, higher_is_better: true}]
"""
CHOSEN = """
doc_to_choice: !function conversations.choices
doc_to_target: !function conversations.gold
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
OF_TASKS = {
    "last": (
        "generate_until",
        GENERATED + "doc_to_messages: !function conversations.messages\n",
    ),
    "rounds": (
        "generate_until_multi_round",
        GENERATED + "doc_to_messages: !function conversations.rounds\n",
    ),
    "choices": ("multiple_choice", CHOSEN),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not PYTHON.is_file(), reason="lmms-eval is not installed: `make lmms-eval`"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of records of the playground, sound of every other one is given as a path."""
    return make_records(tmp_path_factory.mktemp("data"), 12)


@pytest.fixture(scope="module")
def dialogues(data: Path) -> list[Dialogue]:
    """The records, to be asked with the model's own answers."""
    return [Dialogue(record, data.parent) for _, record in read_records(data)]


@pytest.fixture(scope="module")
def likelihoods(model: Any, dialogues: list[Dialogue]) -> list[tuple[float, ...]]:
    """Core's likelihoods of the choices as answers to the first questions."""
    asked = [
        Dialogue(first_question(each), each.root, choices={0: tuple(CHOICES)}) for each in dialogues
    ]
    return [said[0].likelihoods for said in answered(model, asked, max_new_tokens=1)]


@pytest.fixture(scope="module")
def tasks(
    data: Path, likelihoods: list[tuple[float, ...]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of three tasks about the records."""
    folder = tmp_path_factory.mktemp("tasks")
    shutil.copy(TASKS / "conversations.py", folder)
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    for record in lines:
        for medium in record["media"]:
            medium["uri"] = str(data.parent / medium["uri"])
    # The most likely choice counts as right in every other document.
    best = [each.index(max(each)) for each in likelihoods]
    gold = [(choice + number % 2) % len(CHOICES) for number, choice in enumerate(best)]
    documents = [
        json.dumps({"record": json.dumps(each), "choices": CHOICES, "gold": right})
        for each, right in zip(lines, gold, strict=True)
    ]
    (folder / "documents.jsonl").write_text("\n".join(documents))
    for name, (output, more) in OF_TASKS.items():
        shared = COMMON.format(
            name=name, data=folder / "documents.jsonl", cache=folder / "cache", output=output
        )
        (folder / f"{name}.yaml").write_text(shared + more)
    return folder


@pytest.fixture
def ask(tasks: Path, tmp_path: Path) -> Callable[..., list[Any]]:
    """Return what lmms-eval logs of a task, document by document; by default the responses."""

    def asked(
        name: str,
        folder: Path,
        *options: str,
        launcher: tuple[str, ...] = (),
        key: str | None = "filtered_resps",
    ) -> list[Any]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        run(*launcher, "-m", "lmms_eval", "--model", "mmmodal",
            "--model_args", f"model={folder},batch_size=5", "--tasks", name, "--include_path", str(tasks),
            "--log_samples", "--output_path", str(out), "--verbosity", "DEBUG", *options)  # fmt: skip
        (samples,) = out.rglob(f"*_samples_{name}.jsonl")
        logged = [json.loads(line) for line in samples.read_text().splitlines()]
        logged.sort(key=lambda sample: sample["doc_id"])
        return logged if key is None else [sample[key] for sample in logged]

    return asked


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(PYTHON), *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def answered(model: Any, dialogues: list[Dialogue], **settings: Any) -> Iterator[list[Answer]]:
    found = dict(answer_dialogues(model, dialogues, temperature=0, **settings))
    return (found[index] for index in range(len(dialogues)))


def test_the_last_question_has_the_same_answer(
    ask: Callable[..., list[Any]], model: Any, start: Path, dialogues: list[Dialogue]
) -> None:
    gold = [Dialogue(each.record, each.root, "gold") for each in dialogues]
    expected = [said[-1].text for said in answered(model, gold, max_new_tokens=12)]
    assert len(set(expected)) > 1
    assert ask("last", start) == expected


def test_rounds_have_the_same_answers(
    ask: Callable[..., list[Any]], model: Any, start: Path, dialogues: list[Dialogue]
) -> None:
    expected = [[a.text for a in said] for said in answered(model, dialogues, max_new_tokens=12)]
    assert len({len(said) for said in expected}) > 1
    assert ask("rounds", start) == expected


def test_choices_have_the_same_likelihoods_and_the_most_likely_one_counts(
    ask: Callable[..., list[Any]], start: Path, likelihoods: list[tuple[float, ...]]
) -> None:
    logged = ask("choices", start, "--force_simple", key=None)
    losses = [[-float(loss) for loss, _ in sample["filtered_resps"]] for sample in logged]
    torch.testing.assert_close(
        torch.tensor(losses), torch.tensor(likelihoods), rtol=1e-4, atol=1e-4
    )
    assert [sample["acc"] for sample in logged] == [1.0, 0.0] * (len(logged) // 2)


def first_question(dialogue: Dialogue) -> Any:
    """Return the first question of a record with its media in front, as lmms-eval asks it."""
    message = dialogue.record.messages[0]
    media = [part for part in message.content if part.type != "text"]
    text = message.content[0].model_copy(
        update={"type": "text", "text": message.text, "media": None}
    )
    places = [part.media for part in media]
    parts = [part.model_copy(update={"media": place}) for place, part in enumerate(media)]
    first = message.model_copy(update={"content": (*parts, text)})
    shown = tuple(dialogue.record.media[place] for place in places if place is not None)
    return dialogue.record.model_copy(update={"messages": (first,), "media": shown})


def test_two_processes_share_the_documents(ask: Callable[..., list[Any]], start: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    assert ask("last", start, launcher=launcher) == ask("last", start)


def test_a_folder_that_was_trained_again_gets_no_kept_answers(
    ask: Callable[..., list[Any]], start: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(start, tmp_path / "model")
    kept = ("--use_cache", str(tmp_path / "kept"))
    first = ask("last", folder, *kept)
    assert ask("last", folder, *kept) == first
    changed = mmmodal.load(folder)
    with torch.no_grad():
        changed.lm_head.weight.neg_()
    changed.save_pretrained(folder)
    again = ask("last", folder, *kept)
    assert again == ask("last", folder) != first
