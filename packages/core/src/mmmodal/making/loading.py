"""Load and save model folders: ordinary transformers checkpoints with a processor beside them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.errors import CheckpointError, MMModalError, is_debugging, one_line
from mmmodal.files import new_folder
from mmmodal.model.attention import check_attention, use_attention
from mmmodal.precision import check_quantization, quantized, read_dtype
from mmmodal.pretrained import damaged_file

if TYPE_CHECKING:
    import torch

    from mmmodal.model.configuration import MMModalConfig
    from mmmodal.model.modeling import MMModalForConditionalGeneration
    from mmmodal.model.processing import MMModalProcessor

__all__ = ["load", "load_config", "load_processor", "save"]


def load(
    path: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    attn_implementation: str | None = None,
    quantization: str | None = None,
    **kwargs: Any,
) -> MMModalForConditionalGeneration:
    """Load a composed model, or an adapter on its base; the processor is at `model.processor`.

    Args:
        path: a model folder or an adapter folder (or a Hub id).
        base: the model that an adapter was trained on, where it is not where the adapter says.
        dtype: `fp32`, `bf16`, `fp16`, or torch's own names; "auto" keeps what was saved.
        device: where to put it; the GPU where there is one.
        attn_implementation: how the language model computes attention: `eager`, `sdpa`,
            `flash_attention_2` or `flex_attention`; None: transformers chooses. What config.json
            says of it is never read.
        quantization: `4bit` or `8bit` holds the language model so, by bitsandbytes. It can then
            be talked to, not saved.
        kwargs: passed on to transformers' `from_pretrained`.

    Raises:
        CheckpointError: it is no model folder of ours, a part's package is not installed, or an
            adapter belongs to another model.
        ConfigError: what is asked for is unknown, not installed, or not for this language model.
    """
    from mmmodal.adapters.folder import find_adapter

    how = {"attn_implementation": attn_implementation, "quantization": quantization, **kwargs}
    if adapter := find_adapter(path):
        from mmmodal.adapters.attaching import put_on

        model: Any = load(adapter.base(base), dtype=dtype, device=device, **how)
        put_on(model, adapter)
    elif base is not None:
        raise CheckpointError(f"{path} is no adapter; it needs no base")
    else:
        model = _load_model(path, dtype, device, **how)
    ready: MMModalForConditionalGeneration = model.eval()
    return ready


def _load_model(
    path: str | Path,
    dtype: str | torch.dtype,
    device: str | None,
    *,
    attn_implementation: str | None,
    quantization: str | None,
    **kwargs: Any,
) -> Any:
    """Load a model folder, in the precision and on the device that were asked for."""
    import torch

    import mmmodal.auto as auto

    _check_folder(path)
    if attn_implementation is not None:
        check_attention(attn_implementation)
    settings = {**kwargs, "dtype": read_dtype(dtype)}
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if quantization is not None:
        settings |= _quantized(path, quantization, settings["dtype"], device)
    with _naming_damage(path):
        kind = auto.MMModalForConditionalGeneration
        model = kind.from_pretrained(str(path), **settings)
    model.processor = load_processor(path)
    _check_agreement(path, model)
    if attn_implementation is not None:
        use_attention(model, attn_implementation)
    if quantization is None:  # a quantized one was put there as it was loaded
        model = model.to(device)
    return model


def _quantized(path: str | Path, choice: str, dtype: Any, device: str) -> dict[str, Any]:
    """Return what makes transformers quantize the language model as it is loaded."""
    check_quantization(choice)
    config = load_config(path)
    compute = config.dtype if dtype == "auto" else dtype
    described = quantized(choice, config.modality_names, compute)
    return {"quantization_config": described, "device_map": {"": device}}


def load_config(path: str | Path) -> MMModalConfig:
    """Load the configuration of a composed model alone.

    Raises:
        CheckpointError: it is no model folder of ours.
    """
    import mmmodal.auto as auto

    _check_folder(path)
    with _naming_damage(path):
        config: MMModalConfig = auto.MMModalConfig.from_pretrained(str(path))
    return config


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
        kind = auto.MMModalProcessor
        processor: MMModalProcessor = kind.from_pretrained(str(path), trust_remote_code=False)
    return processor


def save(model: MMModalForConditionalGeneration, path: str | Path) -> Path:
    """Write model and processor to a folder that must not exist or be empty; all or nothing.

    Raises:
        CheckpointError: something is there, the model was loaded with `quantization`, or it has
            adapters that are not merged.
    """
    if getattr(model.config, "quantization_config", None) is not None:
        raise CheckpointError(
            f"{path}: a quantized model is not written; the one it was loaded from is whole"
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise CheckpointError(
            "the model has adapters; merge them first: `mmmodal merge ADAPTER OUT`, or in Python "
            "mmmodal.adapters.attaching.merge(model)"
        )
    with new_folder(path) as folder:
        model.save_pretrained(folder)
        model.processor.save_pretrained(folder)
    return Path(path)


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
    _check_vocabulary(path, model)
    preparer = processor.preparer
    for name, markers in preparer.markers.items():
        encoder, entry = model.model.encoders[name], processor.modalities[name]
        same = {
            "encoder": (encoder.name, entry["encoder"]),
            "encoder options": (encoder.options, preparer.encoders[name].options),
            "projector": (config.of(name, "projector_config"), entry["projector"]),
            "token_id": (config.of(name, "token_id"), markers.slot),
            "begin_token_id": (config.of(name, "begin_token_id"), markers.begin),
            "end_token_id": (config.of(name, "end_token_id"), markers.end),
            "separator_token_id": (config.of(name, "separator_token_id"), markers.separator),
            "input_name": (config.of(name, "input_name"), preparer.modalities[name].input_name),
        }
        for key, (one, other) in same.items():
            if one != other:
                raise CheckpointError(
                    f"{path}: config.json and the processor disagree on the {key} of {name!r}; "
                    "copy all files from the same model"
                )


def _check_vocabulary(path: str | Path, model: MMModalForConditionalGeneration) -> None:
    """Refuse a tokenizer that is not the one the model was composed with."""
    from mmmodal.model.new_tokens import token_count

    tokens, rows = token_count(model.processor.tokenizer), model.config.text_config.vocab_size
    noted = model.config.token_count  # None in older folders
    if tokens > rows or noted not in (None, tokens):
        raise CheckpointError(
            f"{path}: the vocabulary does not match: the tokenizer has {tokens} tokens, but the "
            f"model {noted or rows}; copy all files from the same model"
        )


@contextlib.contextmanager
def _naming_damage(path: str | Path) -> Iterator[None]:
    """Turn what transformers raises over a damaged folder into one error that names the file."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:
        if is_debugging():
            raise
        told = one_line(error, 200)
        where = damaged_file(Path(path)) or path
        raise CheckpointError(
            f"{where} cannot be loaded ({type(error).__name__}: {told}); copy or save it again"
        ) from None
