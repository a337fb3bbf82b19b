"""Plugins of one modality `depth`, each of which breaks one contract; CSV-like bytes as files.

A correct plugin is `MODULE`; `VIOLATIONS` are replacements in its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fake_packages import install
from mmmodal.plugins import registry
from worlds import compose, write_lines

__all__ = ["MODULE", "VERSION", "files", "installed", "sound_model", "with_changes"]

VERSION = "mmmodal-depth 0.1"

MODULE = """
import mmmodal
import torch
from torch import nn

class Depth(mmmodal.Modality):
    name = "depth"
    endings = (".depth",)

    def read(self, source, limits):
        numbers = list(source.read_bytes(limits))
        if max(numbers) > 127:
            raise mmmodal.MediaError("unreadable", source.origin, "not a depth map")
        return torch.tensor(numbers, dtype=torch.float32) / 100

class Options(mmmodal.Config):
    width: int = 8

class Eyes(mmmodal.Encoder):
    name = "eyes"
    modality = "depth"
    default_projector = "joiner"
    Options = Options

    @property
    def width(self):
        return self.options.width

    def preprocess(self, item):
        return item[: len(item) // 4 * 4].view(-1, 4).clone()

    def example(self):
        return torch.zeros(8)

    def build(self):
        return Tower(self.options.width)

class Tower(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, values, mask=None):
        features = self.layer(values)
        if mask is None:
            return list(features)
        return [item[: int(m.sum())] for item, m in zip(features, mask)]

class JoinerOptions(mmmodal.Config):
    pass

class Joiner(mmmodal.Projector):
    name = "joiner"
    pointwise = False

    def length(self, shape):
        return shape[0]

    def build(self, in_width, out_width):
        return Joint(in_width, out_width)

class Joint(nn.Module):
    def __init__(self, in_width, out_width):
        super().__init__()
        self.layer = nn.Linear(in_width, out_width)

    def forward(self, features, shapes=None):
        return self.layer(features)

@mmmodal.hookimpl
def mmmodal_modalities():
    return [Depth]

@mmmodal.hookimpl
def mmmodal_encoders():
    return [Eyes]

@mmmodal.hookimpl
def mmmodal_projectors():
    return [Joiner]
"""


def with_changes(*changes: tuple[str, str]) -> str:
    """Return the text of the plugin with some of its text replaced."""
    text = MODULE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def installed(folder: Path, text: str = MODULE, module: str = "mmmodal-depth") -> Iterator[None]:
    """Install a text as the plugin `mmmodal-depth` for this process."""
    import sys

    folder.mkdir(parents=True, exist_ok=True)
    install(folder, module, text)
    name = module.replace("-", "_")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        sys.modules.pop(name, None)
        registry.cache_clear()
        try:
            yield
        finally:
            sys.modules.pop(name, None)
    registry.cache_clear()


def sound_model(parts: Mapping[str, Path], folder: Path) -> Path:
    """Return a model in `folder` whose parts keep their contracts."""
    with installed(folder / "plugin"):
        compose(parts["llama"], parts, folder / "model", encoders={"depth": "eyes"})
    return folder / "model"


def files(folder: Path, count: int = 6) -> Path:
    """Write depth maps of several lengths, and records about them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        name = f"{number}.depth"
        (folder / name).write_bytes(
            bytes((7 * number + 3 * i) % 100 for i in range(8 + 4 * number))
        )
        content = [{"type": "depth", "media": 0}, {"type": "text", "text": "How far?"}]
        answer = [{"type": "text", "text": f"{number} metres."}]
        rows.append(
            {
                "id": str(number),
                "messages": [
                    {"role": "user", "content": content},
                    {"role": "assistant", "content": answer},
                ],
                "media": [{"kind": "depth", "uri": name}],
            }
        )
    path = folder / "data.jsonl"
    write_lines(path, json.loads(json.dumps(rows)))
    return path
