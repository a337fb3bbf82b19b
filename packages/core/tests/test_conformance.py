"""The suites catch what breaks a contract, and pass parts that keep it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import faulty

SUITE = """
import pytest
from mmmodal.testing import EncoderTests, ModalityTests, ProjectorTests
import mmmodal_depth as depth

class TestDepth(ModalityTests):
    @pytest.fixture
    def modality(self):
        return depth.Depth()

    @pytest.fixture
    def data(self):
        return bytes(range(8))

class TestEyes(EncoderTests):
    @pytest.fixture
    def encoder(self):
        return depth.Eyes()

class TestJoiner(ProjectorTests):
    @pytest.fixture
    def projector(self):
        return depth.Joiner()
"""
FEATURES = "features = self.layer(values)"
NORM = (
    "self.layer = nn.Linear(4, width)\n\n    def forward",
    "self.layer = nn.Linear(4, width)\n        self.norm = nn.BatchNorm1d(width)\n\n    def forward",
)
NAME = '    name = "depth"\n'


def load(body: str) -> tuple[str, str]:
    return ("    def example", f"    def load(self, source):\n        {body}\n\n    def example")


CAUGHT: dict[str, tuple[list[tuple[str, str]], str]] = {
    # the changes of the plugin, and the test that fails
    "unknown modality": (
        [('    modality = "depth"', '    modality = "dept"')],
        "test_its_modality_and_its_projector_are_known",
    ),
    "unknown projector": (
        [('default_projector = "joiner"', 'default_projector = "joyner"')],
        "test_its_modality_and_its_projector_are_known",
    ),
    "load lacks": (
        [load("yield 'layer.weight', torch.zeros(8, 4)")],
        "test_pretrained_weights_fit_the_tower",
    ),
    "load renames": (
        [load("yield 'l.weight', torch.zeros(8, 4)\n        yield 'layer.bias', torch.zeros(8)")],
        "test_pretrained_weights_fit_the_tower",
    ),
    "load gives other shapes": (
        [
            load(
                "yield 'layer.weight', torch.zeros(8, 5)\n        yield 'layer.bias', torch.zeros(8)"
            )
        ],
        "test_pretrained_weights_fit_the_tower",
    ),
    "load raises": ([load("yield open(source)")], "test_pretrained_weights_fit_the_tower"),
    "the mean of the batch": (
        [(FEATURES, "features = self.layer(values - values.mean(0))")],
        "TestEyes::test_neighbours_in_the_batch_change_nothing",
    ),
    "sorted": (
        [("return list(features)\n", "return sorted(features, key=lambda f: float(f.sum()))\n")],
        "TestEyes::test_neighbours_in_the_batch_change_nothing",
    ),
    "BatchNorm": (
        [
            NORM,
            (FEATURES, "features = self.norm(self.layer(values).movedim(-1, 1)).movedim(1, -1)"),
        ],
        "TestEyes::test_neighbours_change_nothing_in_training_either",
    ),
    "begin of images": (
        [(NAME, NAME + '    begin = "<image>"\n')],
        "test_its_names_clash_with_no_other_modality",
    ),
    "input of images": (
        [(NAME, NAME + '    input_name = "pixel_values"\n')],
        "test_its_names_clash_with_no_other_modality",
    ),
    "slot is a word": (
        [(NAME, NAME + '    slot = "depth"\n')],
        "test_its_names_clash_with_no_other_modality",
    ),
    "length too short": (
        [("return shape[0]\n", "return max(1, shape[0] - 1)\n")],
        "TestJoiner::test_length_is_known_before_it_runs",
    ),
    "runs do not add up": (
        [("    def length", "    def runs(self, shape): return (1,)\n\n    def length")],
        "TestJoiner::test_runs_add_up_to_the_length",
    ),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the names of the tests that fail, for each plugin; one process runs all suites."""
    folder = tmp_path_factory.mktemp("suites")
    texts = {"sound": faulty.MODULE}
    texts |= {name: faulty.with_changes(*changes) for name, (changes, _) in CAUGHT.items()}
    for number, text in enumerate(texts.values()):
        (folder / f"depth_{number}.py").write_text(text)
        (folder / f"test_{number}.py").write_text(SUITE.replace("mmmodal_depth", f"depth_{number}"))
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    done = subprocess.run(
        # The modules import torch at their top, which is not light.
        [sys.executable, "-m", "pytest", *options, "-k", "not is_light", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert lines, done.stdout + done.stderr
    return {
        name: {line for line in lines if f"test_{number}.py" in line}
        for number, name in enumerate(texts)
    }


def test_parts_that_keep_their_contracts_pass(failed: dict[str, set[str]]) -> None:
    assert failed["sound"] == set()


@pytest.mark.parametrize("name", CAUGHT)
def test_a_broken_contract_is_caught(failed: dict[str, set[str]], name: str) -> None:
    assert any(CAUGHT[name][1] in test for test in failed[name]), failed[name]
