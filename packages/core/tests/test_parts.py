"""Parts are found by name, and unknown ones are told with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mmmodal
from fake_packages import ENCODER, install, run_python
from mmmodal.errors import CheckpointError, PartError
from mmmodal.parts import find, find_for_checkpoint


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a good plugin and two that do not load."""
    folder = tmp_path_factory.mktemp("broken")
    install(folder, "mmmodal-good", ENCODER.format(name="ears"))
    install(folder, "mmmodal-needs-missing", "import no_such_module")
    install(folder, "mmmodal-exits", "import sys; sys.exit(3)")
    return folder


def test_a_built_in_part_is_found() -> None:
    found = find("projectors", "mlp")

    assert issubclass(found.part, mmmodal.Projector)
    assert found.package == "mmmodal-core"


def test_an_unknown_part_suggests_a_close_one() -> None:
    with pytest.raises(PartError, match=r"unknown projector 'mpl'\. Did you mean 'mlp'\?"):
        find("projectors", "mpl")


def test_an_unlike_name_lists_what_is_known() -> None:
    with pytest.raises(PartError, match=r"unknown projector 'zzz'\. Known: .*linear, mlp"):
        find("projectors", "zzz")


FIND = """
import sys
from mmmodal.errors import MMModalError
from mmmodal.parts import find, find_for_checkpoint
try:
    (find if len(sys.argv) == 3 else find_for_checkpoint)(*sys.argv[1:])
except MMModalError as error:
    print(type(error).__name__, error)
"""


def told(*arguments: str, path: Path | None = None, plugins: str = "") -> str:
    """Return the error of looking for a part in a process with only these plugins."""
    result = run_python("-c", FIND, *arguments, path=path, MMMODAL_PLUGINS=plugins)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_known_part_that_is_not_installed_says_which_package_to_install(tmp_path: Path) -> None:
    book = '{"encoders": {"nose": "mmmodal-nose"}}'
    code = (
        "import mmmodal.parts as p, json\n"
        f"p._phone_book = lambda kind: json.loads('{book}').get(kind, {{}})\n"
        "for name in ('nose', 'nose-large-384', 'nsoe'):\n"
        "    try: p.find('encoders', name)\n"
        "    except p.PartError as error: print(error)\n"
    )
    exact, preset, misspelt = run_python("-c", code).stdout.splitlines()
    install_it = "Run: pip install mmmodal-nose"
    assert exact == f"encoder 'nose' comes from mmmodal-nose, which is not installed. {install_it}"
    assert preset.startswith("encoder 'nose-large-384' comes from mmmodal-nose")
    assert misspelt.startswith("unknown encoder 'nsoe'. Did you mean 'nose'? mmmodal-nose")


def test_the_phone_book_names_only_kinds_that_exist() -> None:
    from importlib.resources import files

    from mmmodal.plugins import KINDS

    book = json.loads(files("mmmodal").joinpath("known_parts.json").read_text())
    assert set(book) == set(KINDS)


def test_a_checkpoint_without_its_package_says_what_to_install() -> None:
    with pytest.raises(CheckpointError) as caught:
        find_for_checkpoint("encoders", "nose", "mmmodal-nose", "0.3.1")
    assert str(caught.value) == (
        "this model's encoder 'nose' comes from mmmodal-nose 0.3.1, which is not installed. The "
        "model names that package, which is not a known one: look at it, and at who publishes it, "
        "before you install it"
    )


def test_a_checkpoint_cannot_smuggle_text_into_the_command_to_run() -> None:
    with pytest.raises(CheckpointError) as caught:
        find_for_checkpoint("encoders", "nose", "x --index-url evil\x1b[2J", "1")
    assert "pip install" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_checkpoint_whose_package_is_broken_tells_the_reason(broken: Path) -> None:
    arguments = ("encoders", "ears", "mmmodal-needs-missing", "0.1")
    reason = told(*arguments, path=broken, plugins="needs-missing")

    assert reason == (
        "CheckpointError this model's encoder 'ears' comes from mmmodal-needs-missing 0.1, which "
        "failed to load: ModuleNotFoundError: No module named 'no_such_module'. "
        "Run `mmmodal plugins check needs-missing`"
    )


def test_a_checkpoint_whose_package_is_disabled_says_so(broken: Path) -> None:
    reason = told("encoders", "ears", "mmmodal-good", "0.1", path=broken)

    assert "which is disabled: not named in MMMODAL_PLUGINS" in reason


def test_a_checkpoint_whose_package_lost_the_part_names_the_version_to_install(
    broken: Path,
) -> None:
    reason = told("encoders", "nose", "mmmodal-good", "0.0.9", path=broken, plugins="good")

    assert "the installed mmmodal-good 0.1 does not provide it" in reason
    assert reason.endswith("Run: pip install mmmodal-good==0.0.9")


def test_an_unknown_part_points_at_plugins_that_failed(broken: Path) -> None:
    reason = told("encoders", "zzz", path=broken, plugins="exits")

    assert "or see `mmmodal plugins`: exits failed to load" in reason


@pytest.mark.parametrize("package", ["mmmodal-vision-sigllp", "nose", "mmmodal_nose", "x"])
def test_an_unknown_package_that_a_checkpoint_names_is_to_be_looked_at(package: str) -> None:
    with pytest.raises(CheckpointError, match="look at it") as caught:
        find_for_checkpoint("encoders", "nose", package, "1")
    assert "pip install" not in str(caught.value)
