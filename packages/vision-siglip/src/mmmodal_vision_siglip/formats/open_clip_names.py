"""Models that open_clip knows by name, with weights that it downloads or that lie in a file."""

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
    """List open_clip's models whose image tower is SigLIP's, by its name in timm."""
    import open_clip

    configs = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    return [
        name
        for name, config in configs.items()
        if "siglip" in (config["vision_cfg"].get("timm_model_name") or "")
    ]


def from_name(source: str, name: str, weights: str) -> OpenClipCheckpoint | None:
    """Open `NAME`, `NAME:TAG` or `NAME:FILE`; None if open_clip knows no model of that name.

    Without a tag, the only one is taken. Weights from a file are given the preprocessing of the
    model's published weights, whose name is all that is known of them.

    Raises:
        PartError: there is no such tag or file, or there are several tags to choose from.
    """
    import open_clip

    model = open_clip.get_model_config(name)
    if model is None:
        return None
    read_architecture(model["vision_cfg"], source)  # other models are refused before their weights
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not weights and len(tags) == 1:
        weights = tags[0]
    if not weights:
        raise PartError(f"{source}: say which weights: {', '.join(f'{name}:{t}' for t in tags)}")
    entry = open_clip.get_pretrained_cfg(name, weights)
    if entry:
        return OpenClipCheckpoint(source, model, entry, entry)
    if Path(weights).is_file():
        return _with_file(source, name, Path(weights))
    raise PartError(
        f"{source}: {weights!r} is neither a file nor a tag of {name}{suggest(weights, tags)}"
    )


def from_file(source: str) -> OpenClipCheckpoint:
    """Open a file of weights, of the model that a config beside it or its tensors' shapes tell.

    Raises:
        PartError: there is no config, and no model or more than one has tensors of these shapes.
    """
    path = Path(source)
    beside = read_config(source, str(path.parent))
    if beside is not None:
        return OpenClipCheckpoint(source, *beside, path)
    file = WeightsFile(path)
    fitting = [name for name in model_names() if _fits(file, name)]
    found = [_with_file(source, name, path) for name in fitting]
    if len({_told(checkpoint) for checkpoint in found}) == 1:
        return found[0]
    wanted = f"name the model before it: NAME:{source}"
    if found:
        raise PartError(f"{source}: it may be any of {', '.join(fitting)}; {wanted}")
    raise PartError(
        f"{source}: there is no {CONFIG_FILE} beside it, and no SigLIP of open_clip has tensors of "
        f"these names and shapes; {wanted}, or the folder of a model of transformers"
    )


def _with_file(source: str, name: str, path: Path) -> OpenClipCheckpoint:
    """Join a model of open_clip, with the preprocessing of its published weights, and a file."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    pictures = open_clip.get_pretrained_cfg(name, tags[0]) if tags else {}
    return OpenClipCheckpoint(source, open_clip.get_model_config(name), pictures, path)


def _fits(file: WeightsFile, name: str) -> bool:
    """Tell whether the file holds the trunk of a model, compared by width and positions first."""
    import open_clip

    from mmmodal_vision_siglip.tower import tensor_shapes

    model = open_clip.get_model_config(name)
    patches, positions = (trunk_shape(file, stored) for stored in (PATCHES, "pos_embed"))
    if len(patches) != 4 or len(positions) != 3 or patches[0] != model["embed_dim"]:
        return False
    if (model["vision_cfg"]["image_size"] // patches[-1]) ** 2 != positions[1]:
        return False
    return fits(file, tensor_shapes(read_architecture(model["vision_cfg"], name), post_norm=True))


def _told(checkpoint: OpenClipCheckpoint) -> str:
    """Write down all that a model's name says of its tower."""
    return f"{checkpoint.config().to_json_string()} {checkpoint.preprocessing()}"
