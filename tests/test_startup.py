"""What is loaded when: help and listings stay light whatever is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_packages import ENCODER, install, run_python
from mmmodal.cli.main import COMMANDS

HEAVY = {"torch", "transformers", "datasets", "accelerate", "deepspeed", "peft", "torchvision"}
NOT_FOR_HELP = HEAVY | {"pydantic", "numpy", "pluggy", "yaml", "PIL", "packaging", "pyarrow"}

RUN = """
import json, sys
from mmmodal.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a plugin with a command."""
    folder = tmp_path_factory.mktemp("plugins")
    entries = {
        "mmmodal": {"ears": "mmmodal_ears"},
        "mmmodal.commands": {"listen": "mmmodal_ears:listen"},
    }
    module = f"import click\n{ENCODER.format(name='ears')}\nlisten = click.Command('listen')\n"
    install(folder, "mmmodal-ears", module, entry_points=entries)
    return folder


def modules_after(plugins: Path, *arguments: str) -> set[str]:
    """Run a command line in a process of its own and return the modules it has loaded."""
    result = run_python("-c", RUN, *arguments, path=plugins)
    code, modules = json.loads(result.stderr.splitlines()[-1])
    assert code == 0, result.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_loads_nothing_heavy_and_no_plugin(plugins: Path, arguments: list[str]) -> None:
    modules = modules_after(plugins, *arguments)

    assert not modules & NOT_FOR_HELP
    assert not {name for name in modules if name.startswith("mmmodal_")}
    assert {name for name in modules if name.startswith("mmmodal.")} <= {
        "mmmodal.cli",
        "mmmodal.cli.main",
        "mmmodal.cli.summaries",
        "mmmodal.errors",
    }


def test_listing_plugins_loads_them_but_neither_torch_nor_transformers(plugins: Path) -> None:
    modules = modules_after(plugins, "plugins")

    assert "mmmodal_ears" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("kind", ["modalities", "encoders", "projectors", "backbones"])
def test_listing_parts_with_their_options_needs_no_torch(plugins: Path, kind: str) -> None:
    assert not modules_after(plugins, kind, "--json") & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_of_core_needs_no_torch(plugins: Path, command: str) -> None:
    assert not modules_after(plugins, command, "--help") & HEAVY


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, mmmodal; dir(mmmodal); print(*sys.modules)"

    modules = set(run_python("-c", code).stdout.split())

    assert not modules & NOT_FOR_HELP


def test_what_plugin_authors_import_needs_no_torch() -> None:
    names = "Backbone, Config, Encoder, MediaError, Modality, PartError, Projector, hookimpl"
    code = f"import sys; from mmmodal import {names}; print(*sys.modules)"

    result = run_python("-c", code)

    assert result.returncode == 0, result.stderr
    assert not set(result.stdout.split()) & HEAVY
