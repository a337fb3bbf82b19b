"""Models that open_clip knows by name, with weights that it downloads or from a file."""

from __future__ import annotations

from pathlib import Path

from mmmodal.authoring.parts import PartError, suggest
from mmmodal_vision_siglip.formats.open_clip import (
    CONFIG_FILE,
    OpenClipCheckpoint,
    fits,
    read_config,
    trunk_shape,
)
from mmmodal_vision_siglip.formats.timm_trunk import read_architecture
from mmmodal_vision_siglip.formats.weights_file import WeightsFile

__all__ = ["from_file", "from_name", "model_names"]

PATCHES = "patch_embed.proj.weight"


def model_names() -> list[str]:
    """Return the names of open_clip's models with an image tower of SigLIP, by its name in timm."""
    import open_clip

    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    return [
        name
        for name, config in configs.items()
        if "siglip" in (config["vision_cfg"].get("timm_model_name") or "")
    ]


def from_name(source: str, name: str, weights: str) -> OpenClipCheckpoint | None:
    """Return the checkpoint of `NAME`, `NAME:TAG` or `NAME:FILE`; None if there is no such model.

    Without a tag, the model must have a single one. Weights from a file get the preprocessing of
    the model's published weights.

    Raises:
        PartError: there is no such tag or file, or there are several tags to choose from.
    """
    import open_clip

    model = open_clip.get_model_config(name)
    if model is None:
        return None
    read_architecture(model["vision_cfg"], source)  # raises for other models, before their weights
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not weights and len(tags) == 1:
        weights = tags[0]
    if not weights:
        raise PartError(f"{source}: choose the weights: {', '.join(f'{name}:{t}' for t in tags)}")
    entry = open_clip.get_pretrained_cfg(name, weights)
    if entry:
        return OpenClipCheckpoint(source, model, entry, entry)
    if Path(weights).is_file():
        return _with_file(source, name, Path(weights))
    raise PartError(
        f"{source}: {weights!r} is neither a file nor a tag of {name}{suggest(weights, tags)}"
    )


def from_file(source: str) -> OpenClipCheckpoint:
    """Return the checkpoint of a file of weights; the model is found by a config or by the shapes.

    Raises:
        PartError: there is no config beside it, and not exactly one model has these shapes.
    """
    path = Path(source)
    beside = read_config(source, str(path.parent))
    if beside is not None:
        return OpenClipCheckpoint(source, *beside, path)
    file = WeightsFile(path)
    fitting = [name for name in model_names() if _fits(file, name)]
    found = [_with_file(source, name, path) for name in fitting]
    if len({_description(checkpoint) for checkpoint in found}) == 1:
        return found[0]
    wanted = f"name the model in front of the file: NAME:{source}"
    if found:
        raise PartError(f"{source}: it may be one of {', '.join(fitting)}; {wanted}")
    raise PartError(
        f"{source}: there is no {CONFIG_FILE} beside it, and no SigLIP of open_clip has tensors of "
        f"these names and shapes; {wanted}, or name the folder of a model of transformers"
    )


def _with_file(source: str, name: str, path: Path) -> OpenClipCheckpoint:
    """Return a model of open_clip with the weights of a file, and its published preprocessing."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    pictures = open_clip.get_pretrained_cfg(name, tags[0]) if tags else {}
    return OpenClipCheckpoint(source, open_clip.get_model_config(name), pictures, path)


def _fits(file: WeightsFile, name: str) -> bool:
    """Return whether a file holds the trunk of a model; width and positions are compared first."""
    import open_clip

    from mmmodal_vision_siglip.tower import tensor_shapes

    model = open_clip.get_model_config(name)
    patches, positions = (trunk_shape(file, stored) for stored in (PATCHES, "pos_embed"))
    if len(patches) != 4 or len(positions) != 3 or patches[0] != model["embed_dim"]:
        return False
    if (model["vision_cfg"]["image_size"] // patches[-1]) ** 2 != positions[1]:
        return False
    return fits(file, tensor_shapes(read_architecture(model["vision_cfg"], name), post_norm=True))


def _description(checkpoint: OpenClipCheckpoint) -> str:
    """Return a text with all facts about a model's tower, to compare models."""
    return f"{checkpoint.config().to_json_string()} {checkpoint.preprocessing()}"
