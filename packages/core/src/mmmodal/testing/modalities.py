"""The conformance suite of modalities."""

from __future__ import annotations

from typing import Any

import pytest

from mmmodal.contracts import Modality
from mmmodal.conversation.clashes import check_input_name, check_markup
from mmmodal.conversation.layout import markup_of
from mmmodal.errors import MediaError
from mmmodal.media.source import Source
from mmmodal.plugins import registry
from mmmodal.testing import parts

__all__ = ["ModalityTests"]

ARGUMENTS = ("input_ids", "attention_mask", "position_ids", "inputs_embeds", "labels")
"""Arguments of every model."""


class ModalityTests:
    """The tests of a modality. Define the fixtures `modality` and `data`, a valid file's bytes."""

    @pytest.fixture
    def modality(self) -> Modality:
        """Return the modality to test."""
        raise NotImplementedError("define the fixture `modality`")

    @pytest.fixture
    def data(self) -> bytes:
        """Return the bytes of a valid file."""
        raise NotImplementedError("define the fixture `data`")

    def read(self, modality: Modality, data: bytes) -> Any:
        """Return the item of bytes, read as core does."""
        return modality.read(Source("the test's bytes", data=data), modality.Limits())

    def test_importing_the_plugin_is_light(self, modality: Modality) -> None:
        parts.assert_import_is_light(modality)

    def test_data_workers_can_take_it(self, modality: Modality) -> None:
        parts.assert_workers_can_take(modality)

    def test_its_name_can_be_part_of_other_names(self, modality: Modality) -> None:
        # It is part of config keys, module names and the model's keyword arguments.
        assert modality.name.isidentifier()
        assert modality.name != "text"
        assert modality.input_name.isidentifier()

    def test_its_tokens_differ(self, modality: Modality) -> None:
        tokens = (modality.begin, modality.end, modality.slot, modality.separator)
        assert all(tokens)
        assert len(set(tokens)) == 4

    def test_its_names_clash_with_no_other_modality(self, modality: Modality) -> None:
        others = {
            name: provided.part()
            for name, provided in registry().provided("modalities")
            if name != modality.name
        }
        markups = {name: markup_of(other) for name, other in others.items()}
        check_markup(modality, markup_of(modality), markups)
        check_input_name(modality, [other.input_name for other in others.values()], ARGUMENTS)

    def test_its_limits_have_defaults_and_are_numbers(self, modality: Modality) -> None:
        # A user sets one of them as `limits.<modality>.<name>`; the others keep their defaults.
        for name, value in modality.Limits():
            assert isinstance(value, int | float), f"the default of Limits.{name} is not a number"

    def test_its_endings_are_those_of_file_names(self, modality: Modality) -> None:
        for ending in modality.endings:
            assert ending == ending.lower() and ending.startswith("."), (
                f"{ending!r} is not an ending of file names such as '.jpg'"
            )

    def test_a_valid_file_is_read(self, modality: Modality, data: bytes) -> None:
        assert self.read(modality, data) is not None

    def test_an_empty_file_is_refused_with_a_reason(self, modality: Modality) -> None:
        with pytest.raises(MediaError, match="the test's bytes"):
            self.read(modality, b"")

    def test_a_damaged_file_is_refused_with_a_reason(self, modality: Modality) -> None:
        with pytest.raises(MediaError, match="the test's bytes"):
            self.read(modality, b"\x00\xff\xfe this is no medium \x80" * 50)

    def test_a_file_over_the_limits_is_refused(self, modality: Modality, data: bytes) -> None:
        source = Source("the test's bytes", data=data)
        with pytest.raises(MediaError, match="the test's bytes"):
            modality.read(source, modality.Limits(file_bytes=1, inline_bytes=1, decoded_bytes=1))

    def test_another_object_is_refused_with_a_reason(self, modality: Modality) -> None:
        with pytest.raises(MediaError):
            modality.convert(object())
