"""Load and save model folders: ordinary transformers checkpoints with a processor beside them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import CheckpointError, MMModalError

if TYPE_CHECKING:
    import torch

    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.model.processing import MMModalProcessor

__all__ = ["check_new", "load", "load_processor", "new_folder", "save"]


def load(
    path: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    **kwargs: Any,
) -> MMModalForConditionalGeneration:
    """Load a composed model, or an adapter on its base; the processor is at `model.processor`.

    Args:
        path: a model folder or an adapter folder (or a Hub id).
        base: the model that an adapter was trained on, where it is not where the adapter says.
        dtype: "auto" keeps what was saved.
        device: where to put it; the GPU where there is one.
        kwargs: passed on to transformers' `from_pretrained` (`attn_implementation`, …).

    Raises:
        CheckpointError: it is no model folder of ours, a part's package is not installed, or an
            adapter belongs to another model.
    """
    import torch

    import mmmodal.auto as auto
    from mmmodal.adapters.folder import find_adapter

    if adapter := find_adapter(path):
        from mmmodal.adapters.attaching import put_on

        model: Any = load(adapter.base(base), dtype=dtype, device=device, **kwargs)
        put_on(model, adapter)
        adapted: MMModalForConditionalGeneration = model.eval()
        return adapted
    if base is not None:
        raise CheckpointError(f"{path} is no adapter; it needs no base")
    _check_folder(path)
    with _naming_damage(path):
        kind = auto.MMModalForConditionalGeneration
        model = kind.from_pretrained(str(path), dtype=dtype, **kwargs)
    model.processor = load_processor(path)
    _check_agreement(path, model)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    result: MMModalForConditionalGeneration = model.to(device).eval()
    return result


def load_processor(path: str | Path) -> MMModalProcessor:
    """Load what prepares conversations for a composed model, without the model.

    Raises:
        CheckpointError: it is no model folder of ours.
    """
    import mmmodal.auto as auto
    from mmmodal.adapters.folder import find_adapter

    if adapter := find_adapter(path):
        return load_processor(adapter.place())
    _check_folder(path)
    with _naming_damage(path):
        processor: MMModalProcessor = auto.MMModalProcessor.from_pretrained(str(path))
    return processor


def save(model: MMModalForConditionalGeneration, path: str | Path) -> Path:
    """Write model and processor to a folder that must not exist or be empty; all or nothing.

    Raises:
        CheckpointError: something is there, or the model has adapters that are not merged.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        raise CheckpointError(
            "the model has adapters; merge them first: `mmmodal merge ADAPTER OUT`, or in Python "
            "mmmodal.adapters.attaching.merge(model)"
        )
    with new_folder(path) as folder:
        model.save_pretrained(folder)
        model.processor.save_pretrained(folder)
    return Path(path)


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that takes its name when the block ends well, else vanishes."""
    target = check_new(path)
    working = target.with_name(f".{target.name}.writing-{os.getpid()}")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            working.mkdir()
        except OSError as error:
            raise CheckpointError(f"{target} cannot be made ({error.strerror})") from None
        yield working
        if target.exists():
            target.rmdir()
        working.rename(target)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def check_new(path: str | Path) -> Path:
    """Return the path if nothing stands there, or an empty folder.

    Raises:
        CheckpointError: something does; nothing is ever overwritten.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} exists already; choose another folder or remove it")
    return target


def _check_folder(path: str | Path) -> None:
    folder = Path(path)
    if not folder.exists():
        if "/" in str(path) and not str(path).startswith((".", "/")) and str(path).count("/") == 1:
            return  # may be a Hub id
        raise CheckpointError(f"{path}: no such folder")
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(
            f"{path} holds no config.json; is it a folder made by `mmmodal compose`?"
        )
    try:
        model_type = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise CheckpointError(f"{config} is not valid JSON") from None
    if model_type != "mmmodal":
        raise CheckpointError(
            f"{path} is a {model_type!r} model, not a composed one; make one with "
            f"`mmmodal compose OUT --backbone auto:{path} --encoder …`"
        )
    for name in (
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ):
        if not (folder / name).is_file():
            raise CheckpointError(f"{path} lacks {name}, which `mmmodal compose` writes beside it")


def _check_agreement(path: str | Path, model: MMModalForConditionalGeneration) -> None:
    """Refuse a folder whose two configurations prepare and read media differently."""
    config, processor = model.config, model.processor
    if sorted(config.modality_names) != sorted(processor.modalities):
        raise CheckpointError(
            f"{path}: config.json is for {', '.join(config.modality_names) or 'text'}, but "
            f"processor_config.json for {', '.join(processor.modalities) or 'text'}; copy both "
            "from the same model"
        )
    for name, markers in processor.markers.items():
        encoder, entry = model.model.encoders[name], processor.modalities[name]
        same = {
            "encoder": (encoder.name, entry["encoder"]),
            "encoder options": (encoder.options, processor.encoders[name].options),
            "projector": (config.of(name, "projector_config"), entry["projector"]),
            "token_id": (config.of(name, "token_id"), markers.slot),
            "begin_token_id": (config.of(name, "begin_token_id"), markers.begin),
            "end_token_id": (config.of(name, "end_token_id"), markers.end),
            "separator_token_id": (config.of(name, "separator_token_id"), markers.separator),
            "input_name": (config.of(name, "input_name"), processor.kinds[name].input_name),
        }
        for key, (one, other) in same.items():
            if one != other:
                raise CheckpointError(
                    f"{path}: config.json and the processor disagree on the {key} of {name!r}; "
                    "copy all files from the same model"
                )


@contextlib.contextmanager
def _naming_damage(path: str | Path) -> Iterator[None]:
    """Turn what transformers raises over a damaged folder into one error that names the file."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:
        if os.environ.get("MMMODAL_DEBUG") == "1":
            raise
        told = " ".join(str(error).split())[:200]
        where = _damaged_file(Path(path)) or path
        raise CheckpointError(
            f"{where} cannot be loaded ({type(error).__name__}: {told}); copy or save it again"
        ) from None


def _damaged_file(folder: Path) -> Path | None:
    """Find the file that cannot be read: JSON that does not parse, safetensors that are cut off."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors")):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            else:
                with safe_open(str(path), framework="pt"):
                    pass
        except Exception:  # safetensors has an error class of its own
            return path
    return None
