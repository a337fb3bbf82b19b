"""A part that breaks its contract is named with its package, wherever it is used first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import faulty
import mmmodal
from mmmodal.cli.main import run as main
from mmmodal.errors import MMModalError, PartError
from mmmodal.samples.dataset import PreparedDataset, open_files
from mmmodal.train.recipe.data_source import DataSource
from worlds import compose

JOINED = "        return self.layer(features)\n\n@mmm"
PREPARED = "        return item[: len(item) // 4 * 4].view(-1, 4).clone()"


def tower(value: str) -> tuple[str, str]:
    """Return the change of what a tower returns for items of equal lengths, and of others."""
    return (
        "        if mask is None:",
        f"        if True: return {value}\n        if mask is None:",
    )


def joint(value: str) -> tuple[str, str]:
    return (JOINED, f"        return {value}\n\n@mmm")


def prepared(value: str) -> tuple[str, str]:
    return (PREPARED, f"        return {value}")


def method(text: str) -> tuple[str, str]:
    """Return the change that adds a method to the encoder."""
    return ("    def example(self):", f"    {text}\n\n    def example(self):")


RIGHT = "item[: len(item) // 4 * 4].view(-1, 4)"

FAULTS: dict[str, tuple[tuple[str, str], str, str]] = {
    # its change of the plugin, the part and method that the error names, what it says
    "dict": (tower("{'features': features}"), "eyes `tower`", "returned a dict"),
    "none": (tower("None"), "eyes `tower`", "returned None"),
    "numpy": (tower("[f.detach().numpy() for f in features]"), "eyes `tower`", "ndarray"),
    "float64": (tower("list(features.double())"), "eyes `tower`", "of torch.float64"),
    "integers": (tower("list(features.long())"), "eyes `tower`", "of torch.int64"),
    "too wide": (tower("list(torch.cat([features, features], -1))"), "eyes `tower`", "16]"),
    "too few positions": (tower("[f[1:] for f in features]"), "eyes `tower`", "`shape`"),
    "an item short": (tower("list(features)[:-1]"), "eyes `tower`", "tensors for 2 items"),
    "NaN": (tower("[f * float('nan') for f in features]"), "eyes `tower`", "NaN"),
    "tower raises": (tower("features.nonsense"), "eyes `tower`", "raised AttributeError"),
    "another argument": (
        ("def forward(self, values, mask=None):", "def forward(self, pixels, mask=None):"),
        "eyes `tower`",
        "raised TypeError",
    ),
    "unset attribute": (
        ("features = self.layer(values)", "features = self.leyer(values)"),
        "eyes `tower`",
        "leyer",
    ),
    "subtracts the mean of the batch": (
        ("features = self.layer(values)", "features = self.layer(values - values.mean(0))"),
        "eyes `tower`",
        "beside others",
    ),
    "sorts the items": (
        tower("sorted(list(features), key=lambda f: -float(f.sum()))"),
        "eyes `tower`",
        "beside others",
    ),
    "noise": (tower("[f + torch.rand_like(f) for f in features]"), "eyes `tower`", "deterministic"),
    "preprocess returns None": (prepared("None"), "eyes `preprocess`", "returned None"),
    "preprocess raises": (prepared("item.missing"), "eyes `preprocess`", "raised AttributeError"),
    "numpy features": (prepared(f"{RIGHT}.numpy()"), "eyes `collate`", "raised TypeError"),
    "shape is a number": (
        method("def shape(self, features): return len(features)"),
        "eyes `shape`",
        "returned 2",
    ),
    "shape raises": (
        method("def shape(self, features): return features.shapes"),
        "eyes `shape`",
        "raised AttributeError",
    ),
    "shape of nothing": (
        method("def shape(self, features): return (0,)"),
        "eyes `shape`",
        "returned (0,)",
    ),
    "fixed_shape is wrong": (
        method("fixed_shape = (3,)"),
        "eyes `fixed_shape`",
        "is (3,)",
    ),
    "collate returns a list": (
        method("def collate(self, batch): return list(batch)"),
        "eyes `collate`",
        "returned a list",
    ),
    "collate returns arrays": (
        method(
            "def collate(self, batch): return {'values': nn.utils.rnn.pad_sequence(list(batch)).numpy()}"
        ),
        "eyes `collate`",
        "ndarray",
    ),
    "example raises": (
        ("return torch.zeros(8)", "return torch.zeroes(8)"),
        "eyes `example`",
        "raised AttributeError",
    ),
    "width is None": (("return self.options.width", "return None"), "eyes `width`", "is None"),
    "build raises": (
        ("return Tower(self.options.width)", "return Tower()"),
        "eyes `build`",
        "raised TypeError",
    ),
    "build returns a function": (
        ("return Tower(self.options.width)", "return lambda values: values"),
        "eyes `build`",
        "returned a function",
    ),
    "from_source raises": (
        method("from_source = classmethod(lambda cls, source, options: cls(sourced=source))"),
        "eyes `from_source`",
        "raised TypeError",
    ),
    "length too long": (
        ("return shape[0]\n", "return shape[0] + 1\n"),
        "joiner `module`",
        "as `length` says",
    ),
    "length too short": (
        ("return shape[0]\n", "return shape[0] - 1\n"),
        "joiner `module`",
        "as `length` says",
    ),
    "length is no number": (
        ("return shape[0]\n", "return shape[0] / 1\n"),
        "joiner `length`",
        "returned 2.0",
    ),
    "length raises": (
        ("return shape[0]\n", "return shape.size\n"),
        "joiner `length`",
        "raised AttributeError",
    ),
    "runs do not add up": (
        ("    def length", "    def runs(self, shape): return (shape[0], 1)\n\n    def length"),
        "joiner `runs`",
        "add up",
    ),
    "projector too narrow": (joint("self.layer(features)[..., :-1]"), "joiner `module`", "floats"),
    "projector raises": (joint("self.lair(features)"), "joiner `module`", "raised AttributeError"),
    "projector of float64": (joint("self.layer(features).double()"), "joiner `module`", "float64"),
    "projector of NaN": (joint("self.layer(features).log() * 0"), "joiner `module`", "NaN"),
    "projector reads neighbours": (
        joint("self.layer(features - features.mean(0))"),
        "joiner `module`",
        "beside others",
    ),
    "false pointwise": (
        (
            "    pointwise = False",
            "    pointwise = True",
        ),
        "joiner `module`",
        "positions",
    ),
}

MIXING = {"false pointwise": joint("self.layer(features + features.mean(-2, keepdim=True))")}
"""Further changes."""


def text_of(name: str) -> str:
    more = [MIXING[name]] if name in MIXING else []
    return faulty.with_changes(FAULTS[name][0], *more)


def assert_named(error: MMModalError, name: str) -> None:
    message, (part, method) = str(error), FAULTS[name][1].split()
    assert repr(part) in message or f"'{part.title()}'" in message
    assert faulty.VERSION in message, message
    assert method in message, message
    assert FAULTS[name][2] in message, message
    assert "\n" not in message


@pytest.fixture(scope="module")
def sound(parts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose parts keep their contracts."""
    return faulty.sound_model(parts, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.files(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", FAULTS)
def test_composing_names_the_part_at_fault(
    name: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    with faulty.installed(tmp_path, text_of(name)), pytest.raises(MMModalError) as caught:
        compose(parts["llama"], parts, encoders={"depth": "eyes"})
    assert_named(caught.value, name)


IN_EVALUATION = ("NaN", "neighbours", "the mean", "sorts", "noise", "pointwise")
ONLY_THERE = ("example raises", "from_source raises")


@pytest.mark.parametrize(
    "name",
    [n for n in FAULTS if n not in ONLY_THERE and not any(w in n for w in IN_EVALUATION)],
)
def test_running_a_model_names_the_part_at_fault(
    name: str, sound: Path, data: Path, tmp_path: Path
) -> None:
    with faulty.installed(tmp_path, text_of(name)), pytest.raises(MMModalError) as caught:
        run(mmmodal.load(sound), data)
    assert_named(caught.value, name)


def run(model: Any, data: Path) -> torch.Tensor:
    """Return the loss of two rows of the data."""
    preparer = model.processor.preparer
    dataset = PreparedDataset(open_files([DataSource(path=data)]), preparer, max_tokens=256)
    loss: torch.Tensor = model(**preparer.collate([dataset[0], dataset[1]])).loss
    return loss


def test_parts_that_keep_their_contracts_run(sound: Path, data: Path, tmp_path: Path) -> None:
    with faulty.installed(tmp_path):
        assert run(mmmodal.load(sound), data).isfinite()


LOADS = {
    "lacks": ("yield 'layer.weight', torch.zeros(8, 4)", "they lack 'layer.bias'"),
    "renames": (
        "yield from {'w': torch.zeros(8, 4), 'layer.bias': torch.zeros(8)}.items()",
        "they lack 'layer.weight'",
    ),
    "wrong shape": (
        "yield from {'layer.weight': torch.zeros(8, 5), 'layer.bias': torch.zeros(8)}.items()",
        "'layer.weight' is [8, 5], but the tower's is [8, 4]",
    ),
    "raises": ("yield open('/none/such').read()", "`load` raised FileNotFoundError"),
    "no tensors": ("yield 'layer.weight', [0]", "yielded ('layer.weight', a list)"),
    "no pairs": ("yield torch.zeros(8, 4)", "`load`"),
}


@pytest.mark.parametrize("name", LOADS)
def test_weights_that_do_not_fit_name_the_encoder(
    name: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    body, expected = LOADS[name]
    text = faulty.with_changes(method(f"def load(self, source):\n        {body}"))
    with faulty.installed(tmp_path, text), pytest.raises(MMModalError) as caught:
        compose(parts["llama"], parts, encoders={"depth": "eyes:somewhere"})
    assert expected in str(caught.value) and faulty.VERSION in str(caught.value)


NAMES = {
    "begin of another": ('begin = "<image>"', "`begin` '<image>' is also the `begin` of modality"),
    "end of another": ('end = "</image>"', "`end` '</image>' is also the `end` of modality"),
    "slot of another": ('slot = "<image>"', "`slot` '<image>' is also the `begin` of modality"),
    "begin is end": ('begin = end = "<d>"', "`end` '<d>' is also the `begin` of this modality"),
    "word": ('slot = "depth"', "`slot` 'depth' is ordinary text"),
    "words": ('begin = "the depth is"', "`begin` 'the depth is' is ordinary text"),
    "spaced": ('end = "</depth> "', "is ordinary text"),
    "end of text": ('end = "</s>"', "has another use in the language model's tokenizer"),
    "input of another": ('input_name = "pixel_values"', "clashes with 'pixel_values' of another"),
    "input before another": ('input_name = "pixel"', "clashes with 'pixel_values' of another"),
    "input behind another": ('input_name = "pixel_values_mask"', "clashes with 'pixel_values'"),
    "argument": ('input_name = "labels"', "clashes with the argument 'labels'"),
    "prefix of an argument": ('input_name = "input"', "clashes with the argument 'input_ids'"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_something_else_has_are_refused(
    name: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    line, expected = NAMES[name]
    text = faulty.with_changes(('    name = "depth"\n', f'    name = "depth"\n    {line}\n'))
    encoders = {"image": f"siglip:{parts['siglip']}", "depth": "eyes"}
    with faulty.installed(tmp_path, text), pytest.raises(PartError) as caught:
        compose(parts["llama"], parts, encoders=encoders)
    assert expected in str(caught.value)
    assert "modality 'depth' (mmmodal-depth 0.1)" in str(caught.value)


def test_a_token_of_the_vocabulary_is_refused(parts: dict[str, Path], tmp_path: Path) -> None:
    """Whatever the language model uses for text, also where it is no word."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(parts["qwen2"])
    own = tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys()
    token = next(
        text
        for text in sorted(own)
        if not any(c.isalnum() or c in "'\"\\" for c in text) and len(text) > 1
    )
    text = faulty.with_changes(
        ('    name = "depth"\n', f"    name = 'depth'\n    slot = {token!r}\n")
    )
    with (
        faulty.installed(tmp_path, text),
        pytest.raises(
            PartError, match="is ordinary text in the language model's vocabulary|which people"
        ),
    ):
        compose(parts["qwen2"], parts, encoders={"depth": "eyes"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return None", "modality 'depth' (mmmodal-depth 0.1): `read` returned None"),
        ("return numbers.missing", "reader of 'depth' in mmmodal-depth 0.1 failed (AttributeErr"),
    ],
)
def test_data_check_and_chat_name_a_modality_whose_reader_is_at_fault(
    line: str,
    expected: str,
    sound: Path,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = faulty.with_changes(
        ("        if max(numbers)", f"        {line}\n        if max(numbers)")
    )
    with faulty.installed(tmp_path, text):
        assert main(["data", "check", str(data)]) == 1
        assert expected in capfd.readouterr().out
        medium = ("--depth", str(data.parent / "0.depth"))
        assert main(["generate", str(sound), "--prompt", "How far?", *medium]) == 1
        assert expected in capfd.readouterr().err
