"""A tiny image encoder that cuts wide pictures into tiles, as a plugin for tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import Field

import mmmodal
from fake_packages import install
from mmmodal.plugins import registry

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE, PATCH = 16, 4  # pixels


class Mosaic(mmmodal.Encoder):
    """Cut a picture into squares from left to right, followed by the whole if there are several."""

    name = "mosaic"
    modality = "image"
    width = 8

    class Options(mmmodal.Config):
        """The maximum number of tiles."""

        tiles: int = Field(4, ge=1)

    @property
    def tiled(self) -> bool:
        return bool(self.options.tiles > 1)

    def preprocess(self, item: Any) -> Tensor:
        import torch
        from torchvision.transforms.functional import pil_to_tensor

        columns = min(self.options.tiles, max(1, round(item.width / item.height)))
        wide = pil_to_tensor(item.resize((columns * SIDE, SIDE))) / 255  # [3, SIDE, columns * SIDE]
        tiles = list(wide.split(SIDE, dim=-1))
        if columns > 1:
            tiles.append(pil_to_tensor(item.resize((SIDE, SIDE))) / 255)
        return torch.stack(tiles)  # [tiles, 3, SIDE, SIDE]

    def shape(self, features: Tensor) -> tuple[int, ...]:
        return (len(features), SIDE // PATCH, SIDE // PATCH)

    def collate(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        import torch

        counts = torch.tensor([len(tiles) for tiles in batch])
        return {"values": torch.cat(list(batch)), "counts": counts}

    def example(self) -> Any:
        from PIL import Image

        return Image.new("RGB", (20, 20), "grey")

    def build(self) -> nn.Module:
        from mosaic_tower import Tower

        return Tower(PATCH, self.width)


@mmmodal.hookimpl
def mmmodal_encoders() -> list[type[mmmodal.Encoder]]:
    """Return the mosaic."""
    return [Mosaic]


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install the plugin for this process, from a separate folder."""
    install(folder, "mmmodal-mosaic", "from mosaic import mmmodal_encoders\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        registry.cache_clear()
        yield
    registry.cache_clear()
