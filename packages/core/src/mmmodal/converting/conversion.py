"""Convert another project's composed checkpoint to a model folder, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.contracts.converter import Converter
from mmmodal.converting.source import ComposedSource
from mmmodal.errors import PartError
from mmmodal.plugins import registry

if TYPE_CHECKING:
    from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = ["convert", "recognise"]


def convert(
    source: str | Path,
    out: str | Path,
    *,
    chat_template: str | None = None,
    dtype: Any = "auto",
    shard_bytes: int = 2_000_000_000,
) -> dict[str, Any]:
    """Convert a checkpoint; one shard of it is in memory at a time.

    Args:
        source: a folder or Hub id, in a format of an installed converter.
        out: a folder that does not exist yet.
        chat_template: a Jinja text that replaces the checkpoint's own.
        dtype: the precision of all weights; "auto" is that of the language model.
        shard_bytes: the maximum size of a file of weights, which is also held in memory.

    Returns:
        The `format`, the `modalities` and the `bytes` of the tensors.

    Raises:
        PartError: no converter knows the format, or the checkpoint is incomplete.
        CheckpointError: `out` exists.
    """
    from mmmodal.files import check_new, new_folder

    check_new(out)  # before a download
    opened = ComposedSource(str(source))
    converter = recognise(opened)
    conversion = converter.read(opened, chat_template)
    from mmmodal.converting.skeleton import build_skeleton
    from mmmodal.converting.tensors import TensorPlan

    plan = TensorPlan(opened.weights, conversion, dtype)
    model = build_skeleton(conversion, plan.rows, plan.dtype, opened.json("generation_config.json"))
    plan.match(model)
    with new_folder(out) as folder:
        written = plan.write(folder, shard_bytes)
        _save_settings(model, folder)
    names = [modality.addition.modality.name for modality in conversion.modalities]
    return {"format": converter.name, "modalities": names, "bytes": written}


def recognise(source: ComposedSource) -> Converter:
    """Return the converter of a checkpoint's format.

    Raises:
        PartError: no converter knows the format, or several do.
    """
    known = _converters()
    found = [converter for converter in known.values() if converter.matches(source.config)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(converter.name for converter in found)
        raise PartError(f"{source.source}: several converters match: {names}; uninstall one")
    kind = source.config.get("model_type")
    if kind == "mmmodal":
        raise PartError(f"{source.source} is a model of mmmodal already; it needs no conversion")
    looked = "; ".join(f"{name}: {converter.shape}" for name, converter in known.items())
    raise PartError(
        f"{source.source} is a {kind!r} checkpoint, for which there is no converter. Looked for: "
        f"{looked or 'nothing, as no converter is installed; install mmmodal-backbones'}"
    )


def _converters() -> dict[str, Converter]:
    names = registry().names("converters")
    found = {name: registry().get("converters", name) for name in names}
    return {name: item.part() for name, item in found.items() if item is not None}


def _save_settings(model: MMModalForConditionalGeneration, folder: Path) -> None:
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    model.processor.save_pretrained(folder)
