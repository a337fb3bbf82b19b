"""Limits are a modality's own: read from recipes and the command line, by section, with hints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmmodal.config import validate
from mmmodal.errors import ConfigError
from mmmodal.limits import LimitSettings, limit_schema, read_limits
from mmmodal.modalities.audio import Audio
from mmmodal.modalities.image import Image
from mmmodal.train.recipe import Recipe, load_recipe
from mmmodal.train.run.folder import NOTED, find_run

GIVEN = ["model=m", "data=d.jsonl", "out=o"]


def settings(values: dict[str, Any]) -> LimitSettings:
    return validate(limit_schema(), values, "limits")


def test_what_is_set_for_a_modality_counts_before_what_is_set_for_all() -> None:
    found = settings({"decoded_bytes": 7, "image": {"pixels": 5, "decoded_bytes": 6}})
    image, audio = found.of(Image()), found.of(Audio())
    assert (image.pixels, image.decoded_bytes, image.side) == (5, 6, 16_384)
    assert (audio.decoded_bytes, audio.seconds) == (7, 600)


def test_limits_that_nobody_set_are_the_modality_s_own() -> None:
    assert LimitSettings().of(Image()) == Image.Limits()
    assert limit_schema()().chosen() == {}


def test_a_recipe_and_an_override_name_a_limit_alike() -> None:
    recipe = load_recipe("align", [*GIVEN, "limits.image.pixels=200", "limits.file_bytes=9"])
    assert recipe.limits.chosen() == {"file_bytes": 9, "image": {"pixels": 200}}
    assert read_limits({"image.pixels": "200", "limits.file_bytes": "9"}) == recipe.limits


def test_all_that_is_wrong_is_told_at_once_with_hints() -> None:
    with pytest.raises(ConfigError) as raised:
        settings({"image": {"pixls": 1, "side": 0}, "audoi": {}, "file_bytes": "many"})
    text = str(raised.value)
    assert "unknown key 'image.pixls'. Did you mean 'pixels'?" in text
    assert "unknown key 'audoi'. Did you mean 'audio'?" in text
    assert "'image.side': input should be greater than 0" in text and "'file_bytes'" in text


def test_a_hint_reaches_into_the_limits_of_a_recipe() -> None:
    with pytest.raises(ConfigError, match=r"'limits\.image\.pixls'\. Did you mean 'pixels'\?"):
        load_recipe("align", [*GIVEN, "limits.image.pixls=5"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"image_pixels": 5}, {"image": {"pixels": 5}}),
        ({"image_side": 5, "image": {"pixels": 6}}, {"image": {"side": 5, "pixels": 6}}),
        ({"audio_seconds": 5.0, "audio_channels": 1}, {"audio": {"seconds": 5.0, "channels": 1}}),
    ],
)
def test_an_old_key_works_with_a_note_of_the_new_one(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    note = r"limits\.(image|audio)_(\w+) was renamed to limits\.\1\.\2;"
    with pytest.warns(FutureWarning, match=note):
        assert settings(old).chosen() == new


def test_a_limit_under_both_names_is_refused() -> None:
    with pytest.warns(FutureWarning), pytest.raises(ConfigError, match="pixels is given twice"):
        settings({"image_pixels": 5, "image": {"pixels": 6}})


def test_a_run_that_was_begun_with_old_keys_goes_on(tmp_path: Path) -> None:
    recipe = load_recipe("align", ["model=m", "data=d.jsonl", f"out={tmp_path / 'out'}"])
    note = {**recipe.fingerprint(), "limits": {"file_bytes": 2**29, "image_pixels": 50_000_000}}
    (tmp_path / "out/run").mkdir(parents=True)
    _write(tmp_path / "out/run" / NOTED, note)
    assert find_run(recipe, fresh=False) == tmp_path / "out/run"
    _write(tmp_path / "out/run" / NOTED, {**note, "limits": {"image_pixels": 5}})
    with pytest.raises(Exception, match="begun with other values of limits"):
        find_run(recipe, fresh=False)


def test_limits_take_part_in_what_a_recipe_is_known_by() -> None:
    plain, wide = (load_recipe("align", [*GIVEN, *more]) for more in ([], ["limits.image.side=9"]))
    assert plain.fingerprint()["limits"] == {}
    assert wide.fingerprint()["limits"] == {"image": {"side": 9}}
    assert Recipe.model_validate(wide.model_dump()).limits.chosen() == wide.limits.chosen()


def _write(path: Path, note: dict[str, Any]) -> None:
    import json

    path.write_text(json.dumps(note, default=str), encoding="utf-8")
