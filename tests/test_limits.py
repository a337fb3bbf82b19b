"""How large a medium may be is said on the command line and in recipes, and holds everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image

from fake_packages import install, run_mmmodal
from worlds import compose, record, write_lines

LARGE = (10_000, 6_000)  # pixels, more than are read by default
ALLOWED = "image.pixels=60000000"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def seeing(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pictures."""
    out = tmp_path_factory.mktemp("seeing") / "model"
    compose(parts["llama"], parts, out, kinds=["image"])
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    Image.new("1", LARGE).save(root / "large.png")
    row = record("0", ("image", "large.png"), asked="What is it?", answer="Night.")
    return write_lines(root / "records.jsonl", [row])


def test_data_with_a_larger_image_pass_the_check_where_it_is_allowed(call: Run, data: Path) -> None:
    code, out, _ = call("data", "check", data)
    assert code == 1 and "60,000,000" not in out and "raise `limits.image.pixels`" in out
    assert call("data", "check", data, "--limit", ALLOWED)[0] == 0


def test_data_with_a_larger_image_are_previewed_where_it_is_allowed(
    call: Run, seeing: Path, data: Path
) -> None:
    shown = ("data", "preview", data, "--model", seeing)
    code, _, err = call(*shown)
    assert code == 1 and "raise `limits.image.pixels`" in err
    assert call(*shown, "--limit", ALLOWED)[0] == 0


def test_a_question_about_a_larger_image_is_answered_where_it_is_allowed(
    call: Run, seeing: Path, data: Path
) -> None:
    asked = ("generate", seeing, "--prompt", "What?", "--image", data.parent / "large.png")
    code, _, err = call(*asked, "--max-new-tokens", 1)
    assert code == 1 and "raise `limits.image.pixels`" in err
    assert call(*asked, "--max-new-tokens", 1, "--limit", ALLOWED)[0] == 0


@pytest.mark.parametrize("more", [[], ["feature_cache=CACHE"]])
def test_a_larger_image_is_trained_on_where_the_recipe_allows_it(
    call: Run, seeing: Path, data: Path, tmp_path: Path, more: list[str]
) -> None:
    more = [each.replace("CACHE", str(tmp_path / "cache")) for each in more]
    trained = tmp_path / "trained"
    recipe = ("train", "align", f"model={seeing}", f"data={data}", f"out={trained}", *more)
    recipe = (*recipe, "batch_size=1", "max_tokens=256", "precision=fp32")
    code, out, _ = call(*recipe, "--check")
    assert code == 1 and "records.jsonl:1" in out and "raise `limits.image.pixels`" in out
    allowed = (*recipe, f"limits.{ALLOWED}")
    assert call(*allowed, "--check")[0] == 0
    assert call(*allowed)[0] == 0
    assert "_allowed" not in (trained / "processor_config.json").read_text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("image.pixel=5", "Did you mean 'pixels'?"),
        ("image_pixel=5", "Did you mean 'image'?"),
        ("images.pixels=5", "Did you mean 'image'?"),
        ("image.pixels=many", "image.pixels"),
        ("image.pixels", "image.pixels"),
        ("image.pixels=0", "greater than 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:limits.image_pixels is limits.image.pixels now")
def test_a_limit_that_is_none_is_told(call: Run, data: Path, given: str, told: str) -> None:
    code, _, err = call("data", "check", data, "--limit", given)
    assert code == 1 and "--limit" in err and told in err
    assert "Traceback" not in err


SMELL = """
import mmmodal
from mmmodal.authoring.media import Limits
from mmmodal.authoring.parts import MediaError

class SmellLimits(Limits):
    strength: int = 5

class Smell(mmmodal.Modality[SmellLimits]):
    name = "smell"
    endings = (".smell",)
    Limits = SmellLimits

    def read(self, source, limits):
        strength = len(source.read_text(limits))
        if strength > limits.strength:
            raise MediaError("too-large", source.origin, "raise `limits.smell.strength`")
        return strength

@mmmodal.hookimpl
def mmmodal_modalities():
    return [Smell]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    install(tmp_path, "mmmodal-smell", SMELL)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "strong.smell").write_text("1234567")
    row = record("1", ("smell", "media/strong.smell"), asked="What is it?", answer="Rain.")
    write_lines(tmp_path / "rows.jsonl", [row])
    return tmp_path


def test_a_plugin_s_limit_is_set_as_those_of_core_are(plugin: Path) -> None:
    data = str(plugin / "rows.jsonl")
    refused = run_mmmodal("data", "check", data, path=plugin)
    assert refused.returncode == 1 and "raise `limits.smell.strength`" in refused.stdout
    limit = ("--limit", "smell.strength=9")
    assert run_mmmodal("data", "check", data, *limit, path=plugin).returncode == 0
    wrong = run_mmmodal("data", "check", data, "--limit", "smell.strenth=9", path=plugin)
    assert wrong.returncode == 1 and "Did you mean 'strength'?" in wrong.stderr


def test_a_plugin_s_files_are_imported_by_their_endings(plugin: Path) -> None:
    out = plugin / "made"
    done = run_mmmodal("datagen", "import", str(plugin / "media"), "-o", str(out), path=plugin)
    assert done.returncode == 0, done.stderr
    (part,) = out.glob("steps/*/*/part-*.parquet")
    (row,) = pyarrow.parquet.read_table(part).to_pylist()
    assert [(m["kind"], Path(m["uri"]).name) for m in row["media"]] == [("smell", "strong.smell")]


def test_an_old_name_works_on_the_command_line_with_a_note(call: Run, data: Path) -> None:
    with pytest.warns(
        FutureWarning, match="limits.image_pixels was renamed to limits.image.pixels"
    ):
        assert call("data", "check", data, "--limit", "image_pixels=60000000")[0] == 0
