"""Broken plugins break nothing, and are told with their reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fake_packages import ENCODER, install, run_mmmodal
from mmmodal.errors import PluginError
from mmmodal.plugins import Registry

HOOK = "import mmmodal\n@mmmodal.hookimpl\ndef mmmodal_encoders({arguments}):\n    {body}\n"

MODALITY = """
import mmmodal

class Smell(mmmodal.Modality):
    name = "smell"
    {more}

    def read(self, source, limits): ...

@mmmodal.hookimpl
def mmmodal_modalities():
    return [Smell]
"""

BROKEN = {
    "raises-at-import": ("raise RuntimeError('first\\nsecond')", "RuntimeError: first second"),
    "needs-missing": ("import no_such_module", "No module named 'no_such_module'"),
    "syntax": ("def broken(:", "SyntaxError: invalid syntax"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "panics": ("raise type('Panic', (BaseException,), {})('rust')", "Panic: rust"),
    "raises-in-hook": (HOOK.format(arguments="", body="raise ValueError('no')"), "ValueError: no"),
    "wrong-argument": (HOOK.format(arguments="registry", body="return []"), "registry"),
    "returns-none": (
        HOOK.format(arguments="", body="return None"),
        "mmmodal_encoders returned None, not a list of Encoder classes",
    ),
    "returns-junk": (
        HOOK.format(arguments="", body="return [42]"),
        "mmmodal_encoders returned 42, which is not a subclass of Encoder",
    ),
    "returns-modality": (
        HOOK.format(arguments="", body="return [mmmodal.Modality]"),
        "which is not a subclass of Encoder",
    ),
    "returns-abstract": (
        HOOK.format(arguments="", body="return [type('Half', (mmmodal.Encoder,), {'name': 'x'})]"),
        "Half does not implement build, example, preprocess, width",
    ),
    "bad-name": (ENCODER.format(name="a:b"), "Ears.name is 'a:b', which is not a valid name"),
    "bad-limits": (
        MODALITY.format(more="Limits = 7"),
        "Smell.Limits is 7, which is not a subclass of mmmodal.authoring.media.Limits",
    ),
    "bad-endings": (
        MODALITY.format(more="endings = '.smell'"),
        "Smell.endings is '.smell', which is not a tuple of texts",
    ),
    "named-twice": (
        ENCODER.format(name="ears").replace("[Ears]", "[Ears, Ears]"),
        "two parts named 'ears'",
    ),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one good plugin among all the broken ones."""
    folder = tmp_path_factory.mktemp("broken")
    install(folder, "mmmodal-good", "print('noise at import')\n" + ENCODER.format(name="ears"))
    for name, (module, _) in BROKEN.items():
        install(folder, f"mmmodal-{name}", module)
    install(folder, "mmmodal-old", ENCODER.format(name="old"), requires=["mmmodal-core<0.0.1"])
    install(folder, "mmmodal-hookless", "def mmmodal_encoders(): return []")
    (folder / "mmmodal_nameless-0.1.dist-info").mkdir()
    entry = "[mmmodal]\nnameless = mmmodal_nameless\n"
    (folder / "mmmodal_nameless-0.1.dist-info" / "entry_points.txt").write_text(entry)
    return folder


@pytest.fixture(scope="module")
def listed(broken: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of `mmmodal plugins --json`, by plugin."""
    result = run_mmmodal("plugins", "--json", path=broken)
    assert result.returncode == 0, result.stderr
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason(
    listed: dict[str, dict[str, Any]], name: str
) -> None:
    assert listed[name]["status"] == "failed"
    assert BROKEN[name][1] in listed[name]["reason"]
    assert listed[name]["provides"] == {}


def test_broken_plugins_do_not_break_the_others(listed: dict[str, dict[str, Any]]) -> None:
    assert listed["core"]["status"] == "ok"
    assert listed["good"]["provides"] == {"encoders": ["ears"]}
    assert set(listed["good"]) == {"name", "package", "version", "status", "reason", "provides"}


def test_a_plugin_for_another_core_is_incompatible(listed: dict[str, dict[str, Any]]) -> None:
    assert listed["old"]["status"] == "incompatible"
    assert listed["old"]["reason"].startswith("needs mmmodal-core<0.0.1, found 0.")


def test_a_plugin_without_hooks_is_told_to_mark_them(listed: dict[str, dict[str, Any]]) -> None:
    assert listed["hookless"]["status"] == "ok"
    assert "@mmmodal.hookimpl" in listed["hookless"]["reason"]


def test_a_plugin_with_damaged_metadata_is_listed(listed: dict[str, dict[str, Any]]) -> None:
    assert listed["nameless"]["package"] == "unknown"
    assert listed["nameless"]["status"] == "failed"


def test_other_listings_tell_of_broken_plugins_on_stderr_only(broken: Path) -> None:
    result = run_mmmodal("encoders", "--json", path=broken)

    assert result.returncode == 0
    assert [row["name"] for row in json.loads(result.stdout) if row["package"] == "mmmodal-good"]
    lines = result.stderr.splitlines()
    assert "plugin 'exits' of mmmodal-exits failed to load: SystemExit: 3" in lines
    assert sum(line.startswith("plugin ") for line in lines) == len(BROKEN) + 2


def test_plugins_check_shows_the_traceback_and_fails(broken: Path) -> None:
    result = run_mmmodal("plugins", "check", "raises-at-import", path=broken)

    assert result.returncode == 1
    assert "Traceback" in result.stderr and "mmmodal_raises_at_import.py" in result.stderr
    assert result.stdout == ""


def test_plugins_check_of_a_good_plugin_succeeds(broken: Path) -> None:
    result = run_mmmodal("plugins", "check", "mmmodal-good", path=broken)

    assert result.returncode == 0
    assert "good (mmmodal-good 0.1): ok: encoders ears" in result.stdout


def test_an_empty_choice_of_plugins_leaves_core_alone(broken: Path) -> None:
    result = run_mmmodal("plugins", "--json", path=broken, MMMODAL_PLUGINS="")

    statuses = {row["name"]: row["status"] for row in json.loads(result.stdout)}
    assert statuses.pop("core") == "ok"
    assert set(statuses.values()) == {"disabled"}


def test_plugins_are_chosen_by_name_or_package(broken: Path) -> None:
    result = run_mmmodal("plugins", "--json", path=broken, MMMODAL_PLUGINS="exits, mmmodal-good")

    statuses = {row["name"]: row["status"] for row in json.loads(result.stdout)}
    assert statuses["good"] == "ok"
    assert statuses["exits"] == "failed"
    assert statuses["syntax"] == "disabled"


def test_the_traceback_is_shown_while_loading_where_asked_for(broken: Path) -> None:
    result = run_mmmodal("plugins", path=broken, MMMODAL_DEBUG="1", MMMODAL_PLUGINS="needs-missing")

    assert result.returncode == 0
    assert "ModuleNotFoundError: No module named 'no_such_module'" in result.stderr


CLASHING_PROJECTOR = """
import mmmodal

class Mine(mmmodal.Projector):
    name = "mlp"

    def length(self, shape): ...
    def build(self, in_width, out_width): ...

@mmmodal.hookimpl
def mmmodal_projectors():
    return [Mine]
"""


@pytest.fixture
def clashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install two packages with the same encoder, and one that takes a built-in name."""
    install(tmp_path, "mmmodal-left", ENCODER.format(name="ears"))
    install(tmp_path, "mmmodal-right", ENCODER.format(name="ears"))
    install(tmp_path, "mmmodal-taker", CLASHING_PROJECTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_name_of_two_packages_is_an_error_that_names_both(clashing: Path) -> None:
    with pytest.raises(PluginError, match=r"encoder 'ears' .* mmmodal-left .* mmmodal-right"):
        Registry().get("encoders", "ears")


def test_a_built_in_name_cannot_be_taken_in_silence(clashing: Path) -> None:
    with pytest.raises(PluginError, match=r"projector 'mlp' .* mmmodal-core .* mmmodal-taker"):
        Registry().get("projectors", "mlp")


def test_the_package_decides_between_equal_names(clashing: Path) -> None:
    found = Registry().get("encoders", "ears", package="mmmodal_right")

    assert found is not None and found.package == "mmmodal-right"


def test_conflicts_are_listed_and_leave_the_rest_alone(clashing: Path) -> None:
    plugins = run_mmmodal("plugins", "--json", path=clashing)
    projectors = run_mmmodal("projectors", "--json", path=clashing)

    reasons = {row["name"]: row["reason"] for row in json.loads(plugins.stdout)}
    assert "mmmodal-left" in reasons["right"] and "mmmodal-right" in reasons["left"]
    assert "mmmodal-taker" in reasons["core"]
    names = [row["name"] for row in json.loads(projectors.stdout)]
    assert names.count("mlp") == 2 and "linear" in names
    assert "projector 'mlp' is provided by" in projectors.stderr


def test_a_hook_that_core_does_not_know_is_left_to_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "import mmmodal\n@mmmodal.hookimpl\ndef mmmodal_generators(): raise OSError"
    install(tmp_path, "mmmodal-generators", module)
    monkeypatch.syspath_prepend(str(tmp_path))

    (plugin,) = [item for item in Registry().plugins if item.name == "generators"]
    assert (plugin.status, plugin.reason) == ("ok", "")


def test_an_options_class_must_be_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ENCODER.format(name="ears").replace("    width", "    Options = dict\n    width")
    install(tmp_path, "mmmodal-options", module)
    monkeypatch.syspath_prepend(str(tmp_path))

    (plugin,) = [item for item in Registry().plugins if item.name == "options"]
    assert (
        "Ears.Options is <class 'dict'>, which is not a subclass of mmmodal.Config" in plugin.reason
    )


HABITS = {
    "encoder": ("there is no hook 'mmmodal_encoder'. Did you mean 'mmmodal_encoders'?", "failed"),
    "modality": ("Did you mean 'mmmodal_modalities'?", "failed"),
    "generator": ("Did you mean 'mmmodal_generators'?", "failed"),
    "elephants": ("", "ok"),
}


@pytest.mark.parametrize("hook", HABITS)
def test_a_misspelt_hook_is_not_ok(hook: str, tmp_path: Path) -> None:
    module = ENCODER.format(name="ears") + f"\n@mmmodal.hookimpl\ndef mmmodal_{hook}(): return []\n"
    install(tmp_path, "mmmodal-spelt", module, requires=["mmmodal-core>=0.0.1"])
    done = run_mmmodal("plugins", "check", "spelt", path=tmp_path)
    reason, status = HABITS[hook]
    assert done.returncode == (0 if status == "ok" else 1)
    assert f": {status}" in done.stdout + done.stderr and reason in done.stdout + done.stderr
    listed = json.loads(run_mmmodal("encoders", "--json", path=tmp_path).stdout)
    assert any(row["name"] == "ears" for row in listed) == (status == "ok")


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("numpy>=99", "needs numpy>=99, found "),
        ("no-such-package-here>=1", "needs no-such-package-here>=1, which is not installed"),
        ("numpy", ""),
        ("no-such-package-here; extra == 'all'", ""),
        ("no-such-package-here; python_version < '3'", ""),
    ],
)
def test_requirements_that_are_not_met_are_a_status(
    requirement: str, reason: str, tmp_path: Path
) -> None:
    needs = ["mmmodal-core>=0.0.1", requirement]
    install(tmp_path, "mmmodal-needs", ENCODER.format(name="ears"), requires=needs)
    result = run_mmmodal("plugins", "--json", path=tmp_path)
    row = next(row for row in json.loads(result.stdout) if row["name"] == "needs")
    assert row["status"] == ("unmet" if reason else "ok")
    assert row["reason"].startswith(reason) and bool(row["reason"]) == bool(reason)
    assert row["provides"] == {"encoders": ["ears"]}  # it loads, and may well work
    assert run_mmmodal("plugins", "check", "needs", path=tmp_path).returncode == bool(reason)


def test_a_plugin_without_a_bound_on_core_is_ok_with_a_note(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-open", ENCODER.format(name="ears"), requires=["mmmodal-core"])
    done = run_mmmodal("plugins", "check", "open", path=tmp_path)
    assert done.returncode == 0
    assert (
        "ok: encoders ears; note: it does not say with which versions of mmmodal-core"
        in done.stdout
    )


def test_an_interrupted_import_names_the_plugin(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-stopped", "raise KeyboardInterrupt")
    done = run_mmmodal("encoders", path=tmp_path)
    assert done.returncode == 130
    assert "interrupted while plugin 'stopped' of mmmodal-stopped was being loaded" in done.stderr
    assert run_mmmodal("encoders", path=tmp_path, MMMODAL_PLUGINS="-stopped").returncode == 0


def test_a_crash_of_compiled_code_shows_the_plugin(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-crash", "import ctypes\nctypes.string_at(0)")
    done = run_mmmodal("encoders", path=tmp_path)
    assert done.returncode < 0
    assert "mmmodal_crash.py" in done.stderr


def test_what_compiled_code_writes_to_stdout_at_import_breaks_no_json(tmp_path: Path) -> None:
    install(tmp_path, "mmmodal-loud", "import os\nos.write(1, b'hello')")
    done = run_mmmodal("encoders", "--json", path=tmp_path)
    json.loads(done.stdout)
    assert "hello" in done.stderr


@pytest.mark.parametrize(
    ("chosen", "ears", "nose"),
    [
        ("-ears", False, True),
        ("-mmmodal-ears", False, True),
        ("ears", True, False),
        ("ears,nose,-nose", True, False),
        ("-ears, -nose", False, False),
        ("-core", True, True),
    ],
)
def test_plugins_can_be_left_out_by_a_minus(
    chosen: str, ears: bool, nose: bool, tmp_path: Path
) -> None:
    for name in ("ears", "nose"):
        install(tmp_path, f"mmmodal-{name}", ENCODER.format(name=name))
    done = run_mmmodal("encoders", "--json", path=tmp_path, MMMODAL_PLUGINS=chosen)
    names = {row["name"] for row in json.loads(done.stdout)}
    assert ("ears" in names, "nose" in names) == (ears, nose)


def test_parts_of_other_families_and_commands_are_listed(tmp_path: Path) -> None:
    command = "import click\n@click.command()\ndef go(): click.echo('gone')\n"
    points = {"mmmodal.commands": {"go": "mmmodal_going:go", "train": "mmmodal_going:go"}}
    install(tmp_path, "mmmodal-going", command, entry_points=points)
    result = run_mmmodal("plugins", "--json", path=tmp_path)
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert "segment" in rows["datagen"]["provides"]["generators"]
    assert rows["datagen"]["provides"]["commands"] == ["datagen"]
    assert rows["mmmodal-going"]["provides"] == {"commands": ["go"]}
    assert "its command 'train' is not used: core has one" in rows["mmmodal-going"]["reason"]
    shown = run_mmmodal("--help", path=tmp_path).stdout
    assert "'train' of mmmodal-going is not used" in " ".join(shown.split())
