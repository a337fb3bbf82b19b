"""The command lines of docs/training.md, run: those of two processes for real, on the CPU."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmmodal.cli.main import COMMANDS
from mmmodal.train.recipe.files import recipe_names
from mmmodal_playground.records import make_records
from worlds import ROOT, logged

DOCS = ROOT / "docs/training.md"
FEW = [
    "batch_size=1", "max_steps=2", "log_every=1", "max_tokens=512", "precision=fp32",
    "train={parts: [projectors], learning_rates: {projectors: 1.0e-3}}",
]  # fmt: skip


def lines() -> list[str]:
    """Return the command lines of the page."""
    text = DOCS.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fences if not language]
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("line", lines())
def test_every_command_names_a_recipe_and_commands_that_are_there(line: str) -> None:
    words = shlex.split(line)
    words = words[words.index("mmmodal") + 1 :]
    assert words[0] in COMMANDS
    if words[0] == "train" and not words[1].endswith(".yaml"):
        assert words[1] in recipe_names()


@pytest.fixture(scope="module")
def folder(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold what the page calls `start` and `captions.jsonl`, and `aligned` and `dialogues.jsonl`."""
    root = tmp_path_factory.mktemp("docs")
    for name in ("start", "aligned"):
        shutil.copytree(start, root / name)
    data = make_records(root, 6)
    for name in ("captions.jsonl", "dialogues.jsonl"):
        (root / name).write_bytes(data.read_bytes())
    return root


def run_line(line: str, folder: Path, *more: str) -> Path:
    """Run a command line of the page in a folder, and return what it wrote."""
    out = next(word for word in shlex.split(line) if word.startswith("out="))
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        [*shlex.split(line), *FEW, *more],
        cwd=folder,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / out.removeprefix("out=")


@pytest.mark.timeout(900)
def test_the_line_of_torchrun_trains_on_two_processes(folder: Path) -> None:
    (line,) = [line for line in lines() if "torchrun --standalone --nproc-per-node=2" in line]
    out = run_line(line.replace("out=aligned", "out=by-torchrun"), folder)
    check_result(out)


@pytest.mark.slow  # DeepSpeed compiles its CPU optimizer when it is first used
@pytest.mark.timeout(900)
def test_the_line_of_deepspeed_trains_on_two_processes(folder: Path) -> None:
    (line,) = [line for line in lines() if "deepspeed --num_gpus=8" in line]
    two = line.replace("--num_gpus=8", "--num_gpus=2 --master_port=29617")
    out = run_line(two.replace("out=chatty", "out=by-deepspeed"), folder, "deepspeed=zero2-offload")
    check_result(out)


def check_result(out: Path) -> None:
    assert [row["step"] for row in logged(out)] == [1, 2]
    assert (out / "run/report.html").is_file() and (out / "model.safetensors").is_file()
