"""transformers' own tests of models, on our classes."""

from __future__ import annotations

import copy
import functools
import tempfile
import unittest
from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto import modeling_auto

import mmmodal.auto
from transformers_suite import FOLDER, mixin
from worlds import batch_of, compose, picture, tiny_parts, user

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="`make test-transformers` unpacks the tests"),
    pytest.mark.filterwarnings("default"),  # transformers' tests warn of much
]

BATCH = 3

CANNOT_APPLY = {
    f"test_model_rope_scaling_from_config_{number}_{kind}": (
        "it draws ids of the whole vocabulary as text, of which slots are refused without media"
    )
    for number, kind in enumerate(["linear", "dynamic", "yarn"])
}
"""The tests that cannot apply to a composed model, and why."""

TAKES_MEDIA_AWAY = ("test_eager_matches_sdpa_inference", "test_flash_attn")
"""The beginnings of names of tests that remove the media of the inputs, but not their slots."""


@functools.cache
def given() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return a tiny configuration, inputs with a picture in each sample, and inputs of text."""
    with tempfile.TemporaryDirectory() as folder:
        parts = tiny_parts(Path(folder))
        model: Any = compose(parts["llama"], parts, Path(folder, "model"), kinds=["image"])
        config = type(model.config).from_pretrained(Path(folder, "model"))
    chats = [[user(picture(n), "What is this?")] for n in range(BATCH)]
    batch = dict(batch_of(model, chats))
    for low, key in enumerate(("token_id", "begin_token_id", "end_token_id"), 50):
        # Low ids, as some tests leave few tokens.
        batch["input_ids"][batch["input_ids"] == config.of("image", key)] = low
        setattr(config, f"image_{key}", low)
    text = dict(batch_of(model, [[user("What is this?")]] * BATCH))
    return config, batch, text


class Given:
    """What transformers' tests are given, under the names that they look for."""

    batch_size = BATCH
    is_training = True

    def __init__(self, test: unittest.TestCase) -> None:
        self.config, batch, text = given()
        self.inputs = text if test._testMethodName.startswith(TAKES_MEDIA_AWAY) else batch
        self.num_hidden_layers = self.config.text_config.num_hidden_layers
        self.num_attention_heads = self.config.text_config.num_attention_heads
        self.hidden_size = self.config.text_config.hidden_size
        self.seq_length = self.inputs["input_ids"].shape[1]

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        inputs = {name: value.clone() for name, value in self.inputs.items()}
        return copy.deepcopy(self.config), inputs


# Their tests tell classes without a head by this list.
modeling_auto.MODEL_MAPPING_NAMES["mmmodal"] = "MMModalModel"

if FOLDER.is_dir():

    class TestModel(mixin("test_modeling_common", "ModelTesterMixin"), unittest.TestCase):
        """The tests of every model in transformers."""

        all_model_classes = (
            mmmodal.auto.MMModalModel,
            mmmodal.auto.MMModalForConditionalGeneration,
        )
        all_generative_model_classes = ()
        _is_composite = True

        def setUp(self) -> None:
            self.model_tester = Given(self)
            if (reason := CANNOT_APPLY.get(self._testMethodName)) is not None:
                self.skipTest(reason)
