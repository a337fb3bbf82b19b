"""SigLIP's options and preprocessing; its network is in tower.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from mmmodal import pretrained
from mmmodal.config import Config, validate
from mmmodal.contracts import Encoder
from mmmodal.errors import MediaError, PartError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import SiglipVisionConfig

__all__ = ["Siglip", "SiglipOptions"]

Filter = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
FILTERS: tuple[Filter, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")

ARCHITECTURE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "attention_dropout",
)
"""What of a SigLIP config the tower needs."""


class SiglipOptions(Config):
    """Which layer is taken, and how pictures become pixels; the source sets what is not given."""

    select_layer: int = -2
    """The hidden state that is the feature, counted in the source's depth; -2 as in the paper."""

    post_norm: bool = False
    """Normalise it as SigLIP does its last."""

    image_size: int = Field(384, ge=1)  # pixels; the source's
    patch_size: int = Field(16, ge=1)  # pixels; the source's
    resample: Filter = "bicubic"
    rescale_factor: float = 1 / 255
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class Siglip(Encoder):
    """SigLIP, or SigLIP 2 of fixed resolution, in the format of transformers."""

    name: ClassVar[str] = "siglip"
    modality: ClassVar[str] = "image"
    Options: ClassVar[type[Config]] = SiglipOptions
    options: SiglipOptions
    tower_config: SiglipVisionConfig | None

    @classmethod
    def from_source(cls, source: str | None, options: Mapping[str, Any]) -> Self:
        """Read the config of `source`, cut to the layers that are run.

        Raises:
            PartError: there is no source, it is no such model, or `options` do not fit it.
        """
        source = source or cls.source
        if source is None:
            example = f"{cls.name}:google/siglip-base-patch16-384"
            raise PartError(f"encoder {cls.name!r} needs a source: a folder or Hub id ({example})")
        tower = _read_config(source)
        sizes = {"image_size": tower.image_size, "patch_size": tower.patch_size}
        given = {**_read_preprocessing(source), **sizes, **options}
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

    def preprocess(self, item: Any) -> Tensor:
        """Resize a picture to the square the tower takes and normalise it: [3, H, W]."""
        import numpy as np
        import torch
        from PIL import Image

        if not isinstance(item, Image.Image):
            origin = f"image given as {type(item).__name__}"
            raise MediaError("unsupported", origin, "pass a Pillow image")
        if 0 in item.size:
            raise MediaError("empty", "image", f"{item.width} x {item.height} pixels")
        options = self.options
        size = (options.image_size, options.image_size)
        resized = item.convert("RGB").resize(size, Image.Resampling[options.resample.upper()])
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)  # [3, H, W]
        mean, std = (
            torch.tensor(v)[:, None, None] for v in (options.image_mean, options.image_std)
        )
        return ((pixels * options.rescale_factor - mean) / std).contiguous()

    def shape(self, features: Tensor) -> tuple[int, ...]:
        """Tell the grid of patches (1, h, w)."""
        side = self.options.image_size // self.options.patch_size
        return (1, side, side)

    def example(self) -> Any:
        """Return a grey picture."""
        from PIL import Image

        return Image.new("RGB", (16, 16), "grey")

    def build(self) -> nn.Module:
        """Build the tower that `tower_config` describes."""
        from mmmodal_vision_siglip.tower import SiglipTower

        return SiglipTower(self._config(), self.options.post_norm)

    def load(self, source: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights of the layers that are run, from the safetensors of `source`."""
        import torch

        with torch.device("meta"):
            shapes = {name: value.shape for name, value in self.build().state_dict().items()}
        return pretrained.read_tensors(source, shapes, ("vision_model.", ""))

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """List the weight files that are not on this machine yet."""
        from mmmodal.downloads import hub_files

        return hub_files(source, pretrained.WEIGHT_FILES)

    def _config(self) -> SiglipVisionConfig:
        if self.tower_config is None:
            raise PartError(f"encoder {self.name!r} was made without a source and has no tower")
        return self.tower_config


def _read_config(source: str) -> SiglipVisionConfig:
    """Read the vision tower's config, with its full depth and without its pooling head."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import SiglipVisionConfig

    values = pretrained.read_json(source, "config.json")
    if values is None:
        raise PartError(f"{source}: it has no config.json; is it a model of transformers?")
    kind = values.get("model_type")
    vision = values.get("vision_config", {}) if kind == "siglip" else values
    if kind not in ("siglip", "siglip_vision_model") or not isinstance(vision, dict):
        raise PartError(f"{source} is a {kind!r} model, not SigLIP of fixed resolution")
    known = {key: vision[key] for key in ARCHITECTURE if key in vision}
    try:
        config = SiglipVisionConfig(**known, vision_use_head=False)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PartError(f"{source}: config.json is no valid SigLIP config: {reason}") from None
    if config.num_channels != 3 or not isinstance(config.image_size, int):
        raise PartError(f"{source}: only square RGB pictures are supported")
    return config


def _read_preprocessing(source: str) -> dict[str, Any]:
    """Read the options that preprocessing takes from the source's image processor."""
    values = pretrained.read_json(source, "preprocessor_config.json")
    if values is None:
        both = pretrained.read_json(source, "processor_config.json") or {}
        values = both.get("image_processor", {})
    keys = ("rescale_factor", "image_mean", "image_std")
    found = {key: values[key] for key in keys if values.get(key) is not None}
    if values.get("do_rescale") is False:
        found["rescale_factor"] = 1.0
    if values.get("do_normalize") is False:
        found |= {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}
    if values.get("resample") in range(len(FILTERS)):
        found["resample"] = FILTERS[values["resample"]]
    return found
