"""The options and preprocessing of SigLIP; its network is in tower.py, its sources in formats/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mmmodal.authoring import pretrained
from mmmodal.authoring.parts import Config, Encoder, MediaError, OfSource, PartError, validate
from mmmodal_vision_siglip.formats import open_checkpoint
from mmmodal_vision_siglip.pixels import (
    Filter,
    ResizeMode,
    Resizer,
    best_grid,
    cut,
    resizing,
    square,
)

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from torch import Tensor, nn
    from transformers import SiglipVisionConfig

__all__ = ["Siglip", "SiglipOptions"]

STORED_WHERE_SET = ("drop_first", "tiles", "resizer", "resize_mode", "fill_color")
"""Options that a checkpoint stores only if they are not the default, as older ones lack them."""


class SiglipOptions(Config):
    """The layer of the features, and the preprocessing of pictures; a source sets the defaults."""

    select_layer: int = -2
    """The index of the hidden state that is the feature, among those of the source; the paper's is
    -2."""

    post_norm: bool = False
    """Apply SigLIP's last norm to it."""

    drop_first: bool = False
    """Leave out the first patch, as LLaVA does, which treats it as a class token."""

    tiles: int = Field(1, ge=1, le=12)
    """The maximum number of tiles of a picture, besides a tile of the whole; 1: no tiles."""

    image_size: OfSource[int] = Field(384, ge=1)  # pixels
    patch_size: OfSource[int] = Field(16, ge=1)  # pixels
    resizer: OfSource[Resizer] = "pillow"
    """The library that resizes, as in the source's own preprocessing."""

    resample: OfSource[Filter] = "bicubic"
    resize_mode: OfSource[ResizeMode] = "squash"
    fill_color: OfSource[int] = Field(0, ge=0, le=255)
    """The grey level around a picture whose longer side was fitted."""

    rescale_factor: OfSource[float] = 1 / 255
    image_mean: OfSource[tuple[float, float, float]] = (0.5, 0.5, 0.5)
    image_std: OfSource[tuple[float, float, float]] = (0.5, 0.5, 0.5)

    @model_validator(mode="after")
    def _tiles_are_squashed(self) -> Self:
        if self.tiles > 1 and self.drop_first:
            raise ValueError("tiles need all patches; leave out drop_first")
        if self.tiles > 1 and self.resize_mode != "squash":
            raise ValueError(f"tiles need resize_mode=squash, not {self.resize_mode!r}")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {name: type(self).model_fields[name].default for name in STORED_WHERE_SET}
        values: dict[str, Any] = handler(self)
        return {key: v for key, v in values.items() if key not in defaults or v != defaults[key]}


class Siglip(Encoder):
    """SigLIP, or SigLIP 2 of fixed resolution, in the formats of transformers and open_clip."""

    name: ClassVar[str] = "siglip"
    modality: ClassVar[str] = "image"
    Options: ClassVar[type[Config]] = SiglipOptions
    options: SiglipOptions
    tower_config: SiglipVisionConfig | None

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Return the encoder with the config of `source`, limited to the layers that are run.

        Raises:
            PartError: there is no source, it holds another model, or `options` do not fit it.
        """
        source = source or cls.source
        if source is None:
            example = f"{cls.name}:google/siglip-base-patch16-384"
            raise PartError(
                f"encoder {cls.name!r} needs a source: a folder, a Hub id, a name or file of "
                f"open_clip ({example})"
            )
        checkpoint = open_checkpoint(source)
        tower = checkpoint.config()
        sizes = {"image_size": tower.image_size, "patch_size": tower.patch_size}
        given = {**checkpoint.preprocessing(), **sizes, **options}
        checked = validate(SiglipOptions, given, f"options of encoder {cls.name!r}")
        for key, size in sizes.items():
            if getattr(checked, key) != size:
                raise PartError(f"{source} has {key} {size}, which cannot be set to {given[key]!r}")
        depth = tower.num_hidden_layers
        tower.num_hidden_layers = pretrained.layers_to_run(checked.select_layer, depth, source)
        return cls(checked, tower)

    @property
    def width(self) -> int:
        """The tower's hidden size."""
        return self._config().hidden_size

    @property
    def tiled(self) -> bool:
        """Whether pictures are cut into tiles."""
        return self.options.tiles > 1

    def preprocess(self, item: Any) -> Tensor:
        """Return a picture resized to the tower's square and normalised: [3, H, W].

        With `tiles`, it is cut into such squares: [tiles, 3, H, W], row by row; the whole is last.
        """
        import torch
        from PIL import Image

        if not isinstance(item, Image.Image):
            origin = f"image given as {type(item).__name__}"
            raise MediaError("unsupported", origin, "pass a Pillow image")
        if 0 in item.size:
            raise MediaError("empty", "image", f"{item.width} x {item.height} pixels")
        image = item if item.mode == "RGB" else item.convert("RGB")
        options = self.options
        side, resize = options.image_size, resizing(options.resizer, options.resample)
        if not self.tiled:
            fitted = square(image, side, resize, options.resize_mode, options.fill_color)
            return self._normalised(fitted)
        return torch.stack([self._normalised(t) for t in cut(image, side, resize, options.tiles)])

    def shape(self, features: Tensor) -> tuple[int, ...]:
        """Return the grids of patches (tiles, h, w), or (n,) without the first patch."""
        return self._grids(len(features) if self.tiled else 1)

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """The grid of every picture, if pictures are not cut; else None."""
        return None if self.tiled else self._grids(1)

    def measure(self, item: Any) -> tuple[int, ...]:
        """Return the grids of a picture by its size."""
        from PIL import Image

        options = self.options
        if not self.tiled or not isinstance(item, Image.Image) or 0 in item.size:
            return super().measure(item)
        columns, rows = best_grid(*item.size, options.image_size, options.tiles)
        tiles = columns * rows
        return self._grids(tiles if tiles == 1 else tiles + 1)  # plus the whole picture

    def _grids(self, tiles: int) -> tuple[int, ...]:
        side = self.options.image_size // self.options.patch_size
        if self.options.drop_first:
            return (side * side - 1,)
        return (tiles, side, side)

    def collate(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the stacked pictures; if they are cut, all tiles with the `counts` per picture."""
        import torch

        if not self.tiled:
            return {"values": torch.stack(list(batch))}  # [N, 3, H, W]
        counts = torch.tensor([len(tiles) for tiles in batch])
        return {"values": torch.cat(list(batch)), "counts": counts}  # [n, 3, H, W], [N]

    def example(self) -> Any:
        """Return a grey picture."""
        from PIL import Image

        return Image.new("RGB", (16, 16), "grey")

    def build(self) -> nn.Module:
        """Return the tower of `tower_config`."""
        from mmmodal_vision_siglip.tower import SiglipTower

        return SiglipTower(self._config(), self.options.post_norm, self.options.drop_first)

    def load(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights of the layers that are run, from a source of any format."""
        from mmmodal_vision_siglip.tower import tensor_shapes

        shapes = tensor_shapes(self._config(), self.options.post_norm)
        return open_checkpoint(source).tensors(shapes)

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Return the weight files to download, as (file, bytes)."""
        return open_checkpoint(source).download_size()

    def _normalised(self, image: Pillow.Image) -> Tensor:
        import numpy as np
        import torch

        options = self.options
        mean, std = (
            torch.tensor(v)[:, None, None] for v in (options.image_mean, options.image_std)
        )
        pixels = (
            torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float()
        )  # [3, H, W]
        return pixels.mul_(options.rescale_factor).sub_(mean).div_(std)

    def _config(self) -> SiglipVisionConfig:
        if self.tower_config is None:
            raise PartError(f"encoder {self.name!r} was created without a source and has no tower")
        return self.tower_config
