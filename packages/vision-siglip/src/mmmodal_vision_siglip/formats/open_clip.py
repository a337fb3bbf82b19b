"""Models of open_clip: its own names, folders and Hub repositories, and files of weights.

The architecture, the source of the weights and the preprocessing are read from open_clip's configs,
without building a model of open_clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.authoring import pretrained
from mmmodal.authoring.parts import PartError
from mmmodal.authoring.pretrained import hub_files
from mmmodal_vision_siglip.formats.timm_trunk import read_architecture, trunk_name
from mmmodal_vision_siglip.formats.weights_file import WeightsFile

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import SiglipVisionConfig

__all__ = [
    "CONFIG_FILE",
    "OpenClipCheckpoint",
    "fits",
    "from_repository",
    "read_config",
    "trunk_shape",
]

CONFIG_FILE = "open_clip_config.json"
SAFE_FILE = "open_clip_model.safetensors"
PICKLED_FILE = "open_clip_pytorch_model.bin"
LOCAL_FILES = (SAFE_FILE, "open_clip_pytorch_model.safetensors", PICKLED_FILE)
"""The names of weight files in a folder, in the order in which open_clip searches for them."""

PREFIXES = ("visual.trunk.", "module.visual.trunk.", "trunk.")
"""Prefixes of a trunk's names: in a model, in one trained on several GPUs, in a tower alone."""


class OpenClipCheckpoint(pretrained.Checkpoint["SiglipVisionConfig"]):
    """The config and preprocessing of a model, and the source of its weights."""

    def __init__(
        self,
        source: str,
        model: Mapping[str, Any],
        pictures: Mapping[str, Any],
        weights: Path | Mapping[str, Any],
    ) -> None:
        """Keep open_clip's configs of a model.

        Args:
            source: the source as the user wrote it.
            model: open_clip's config of the model.
            pictures: open_clip's config of its preprocessing, which may be incomplete.
            weights: a file, or open_clip's entry of downloadable pretrained weights.
        """
        super().__init__(source)
        self.model = model
        self.pictures = pictures
        self.weights = weights

    def config(self) -> SiglipVisionConfig:
        """Return the config of the tower, from timm's trunk of that name."""
        return read_architecture(self.model["vision_cfg"], self.source)

    def preprocessing(self) -> dict[str, Any]:
        """Return the options for open_clip's settings; missing ones get open_clip's defaults."""
        from open_clip.transform import PreprocessCfg, merge_preprocess_dict

        values = merge_preprocess_dict(PreprocessCfg(), dict(self.pictures))
        mean, std = (
            (value,) * 3 if isinstance(value, int | float) else tuple(value)
            for value in (values["mean"], values["std"])
        )
        return {
            "image_mean": mean,
            "image_std": std,
            # open_clip's "random" is for training; otherwise it means bicubic.
            "resample": "bilinear" if values["interpolation"] == "bilinear" else "bicubic",
            "resize_mode": values["resize_mode"],
            "fill_color": values["fill_color"],
        }

    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the trunk's tensors by our names, with the stacked projections separated."""
        file = WeightsFile(self._file())
        prefix = _prefix(file, [trunk_name(name)[0] for name in shapes])
        for name, shape in shapes.items():
            stored, third = trunk_name(name)
            _check(file, prefix + stored, _stored_shape(name, shape), self.source)
            start, end = (
                (None, None) if third is None else (third * shape[0], (third + 1) * shape[0])
            )
            yield name, file.rows(prefix + stored, start, end).reshape(*shape)

    def download_size(self) -> list[tuple[str, int]] | None:
        """Return the file that open_clip would download: safetensors if available."""
        if isinstance(self.weights, Path):
            return []
        from huggingface_hub import try_to_load_from_cache

        repository = self.weights.get("hf_hub", "").rstrip("/")
        if not repository:
            return None
        if isinstance(try_to_load_from_cache(repository, SAFE_FILE), str):
            return []
        found = hub_files(repository, (SAFE_FILE, PICKLED_FILE))
        return found and ([file for file in found if file[0] == SAFE_FILE] or found)

    def _file(self) -> Path:
        if isinstance(self.weights, Path):
            return self.weights
        import open_clip

        try:
            return Path(open_clip.download_pretrained(dict(self.weights)))
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise PartError(f"{self.source}: open_clip cannot download it: {reason}") from None


def trunk_shape(file: WeightsFile, stored: str) -> tuple[int, ...]:
    """Return the shape of a trunk's tensor in a file; () if there is no such tensor."""
    name = _prefix(file, [stored]) + stored
    return file.shape(name) if name in file.names else ()


def fits(file: WeightsFile, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Return whether a file holds a trunk of exactly these tensors, without further layers."""
    wanted = {trunk_name(name)[0]: _stored_shape(name, shape) for name, shape in shapes.items()}
    prefix = _prefix(file, wanted)
    layers = {name for name in file.names if name.startswith(f"{prefix}blocks.")}
    return layers <= {prefix + name for name in wanted} and all(
        prefix + name in file.names and file.shape(prefix + name) == shape
        for name, shape in wanted.items()
    )


def _prefix(file: WeightsFile, wanted: Iterable[str]) -> str:
    """Return the prefix of the trunk's names in a file."""
    names = list(wanted)
    return max(PREFIXES, key=lambda prefix: sum(prefix + name in file.names for name in names))


def _stored_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return a tensor's shape in the trunk: positions are [1, h * w, D]; q, k and v are stacked."""
    stored, third = trunk_name(name)
    if stored == "pos_embed":
        return (1, *shape)
    return tuple(shape) if third is None else (3 * shape[0], *shape[1:])


def _check(file: WeightsFile, name: str, shape: tuple[int, ...], source: str) -> None:
    if name not in file.names:
        raise PartError(f"{source}: {name!r} is missing from {file.path.name}")
    if file.shape(name) != shape:
        raise PartError(
            f"{source}: {name!r} has shape {list(file.shape(name))} in {file.path.name}, but its "
            f"config requires {list(shape)}"
        )


def read_config(source: str, place: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the configs of model and preprocessing in a folder or repository; None without them.

    Raises:
        PartError: it is damaged.
    """
    values = pretrained.read_json(place, CONFIG_FILE)
    if values is None:
        return None
    model, pictures = values.get("model_cfg"), values.get("preprocess_cfg", {})
    if not isinstance(model, dict) or not isinstance(model.get("vision_cfg"), dict):
        raise PartError(f"{source}: {CONFIG_FILE} has no model_cfg with a vision_cfg")
    if not isinstance(pictures, dict):
        raise PartError(f"{source}: preprocess_cfg in {CONFIG_FILE} is not a JSON object")
    return model, pictures


def from_repository(source: str, place: str) -> OpenClipCheckpoint | None:
    """Return the checkpoint of a folder or Hub repository of open_clip; None if it has no config.

    Raises:
        PartError: its config is damaged, or a folder has no weights.
    """
    found = read_config(source, place)
    if found is None:
        return None
    folder = Path(place)
    if not folder.is_dir():
        return OpenClipCheckpoint(source, *found, {"hf_hub": f"{place}/"})
    files = [folder / name for name in LOCAL_FILES if (folder / name).is_file()]
    if not files:
        raise PartError(
            f"{source}: there are no weights beside {CONFIG_FILE}: no {', '.join(LOCAL_FILES)}; "
            "name the file itself if it has another name"
        )
    return OpenClipCheckpoint(source, *found, files[0])
