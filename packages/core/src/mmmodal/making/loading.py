"""Load and save model folders: transformers checkpoints with a processor."""

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

__all__ = ["check_folder", "load", "load_config", "load_processor", "save"]


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
    """Return a composed model, or an adapter on its base model; `model.processor` is set.

    Args:
        path: a model folder or an adapter folder (or a Hub id).
        base: the base model of an adapter, if it is no longer at the path the adapter records.
        dtype: `fp32`, `bf16`, `fp16`, or a name of torch; "auto" keeps the saved precision.
        device: the device of the model; by default the GPU, if there is one.
        attn_implementation: the attention of the language model: `eager`, `sdpa`,
            `flash_attention_2` or `flex_attention`; None: transformers chooses. The value in
            config.json is never used.
        quantization: `4bit` or `8bit` quantizes the language model with bitsandbytes. The model
            can then generate, but cannot be saved.
        kwargs: further arguments of transformers' `from_pretrained`.

    Raises:
        CheckpointError: the folder does not hold a composed model, the package of a part is not
            installed, or an adapter belongs to another model.
        ConfigError: an argument is unknown, needs a package that is not installed, or does not
            fit this language model.
    """
    from mmmodal.adapters.folder import find_adapter

    how = {"attn_implementation": attn_implementation, "quantization": quantization, **kwargs}
    if adapter := find_adapter(path):
        from mmmodal.adapters.attaching import put_on

        model: Any = load(adapter.base(base), dtype=dtype, device=device, **how)
        put_on(model, adapter)
    elif base is not None:
        raise CheckpointError(f"{path} is not an adapter; leave out the base")
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
    """Return the model of a folder, in the requested precision and on the requested device."""
    import torch

    import mmmodal.auto as auto

    check_folder(path)
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
    if quantization is None:  # a quantized model was loaded onto the device
        model = model.to(device)
    return model


def _quantized(path: str | Path, choice: str, dtype: Any, device: str) -> dict[str, Any]:
    """Return transformers' arguments for quantizing the language model while it is loaded."""
    check_quantization(choice)
    config = load_config(path)
    compute = config.dtype if dtype == "auto" else dtype
    described = quantized(choice, config.modality_names, compute)
    return {"quantization_config": described, "device_map": {"": device}}


def load_config(path: str | Path) -> MMModalConfig:
    """Return the configuration of a composed model.

    Raises:
        CheckpointError: the folder does not hold a composed model.
    """
    import mmmodal.auto as auto

    check_folder(path)
    with _naming_damage(path):
        config: MMModalConfig = auto.MMModalConfig.from_pretrained(str(path))
    return config


def load_processor(path: str | Path) -> MMModalProcessor:
    """Return the processor of a composed model, without loading the model.

    Raises:
        CheckpointError: the folder does not hold a composed model.
    """
    import mmmodal.auto as auto
    from mmmodal.adapters.folder import find_adapter

    if adapter := find_adapter(path):
        return load_processor(adapter.place())
    check_folder(path)
    with _naming_damage(path):
        kind = auto.MMModalProcessor
        processor: MMModalProcessor = kind.from_pretrained(str(path), trust_remote_code=False)
    return processor


def save(model: MMModalForConditionalGeneration, path: str | Path) -> Path:
    """Write model and processor to a new or empty folder, whole or not at all.

    Raises:
        CheckpointError: the folder exists, the model was loaded with `quantization`, or it has
            adapters that are not merged.
    """
    if getattr(model.config, "quantization_config", None) is not None:
        raise CheckpointError(
            f"{path}: a quantized model cannot be saved; use the folder it was loaded from"
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


def check_folder(path: str | Path) -> None:
    """Check that a folder has the files of a composed model; what may be an id of the Hub passes.

    Raises:
        CheckpointError: it lacks one, or is another model.
    """
    folder = Path(path)
    if not folder.exists():
        if "/" in str(path) and not str(path).startswith((".", "/")) and str(path).count("/") == 1:
            return  # may be a Hub id
        raise CheckpointError(f"{path}: no such folder")
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(f"{path} has no config.json; give a folder made by `mmmodal compose`")
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
    """Raise a CheckpointError if model and processor of a folder treat media differently."""
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
    """Raise a CheckpointError if the tokenizer is not the one the model was composed with."""
    from mmmodal.model.new_tokens import token_count

    tokens, rows = token_count(model.processor.tokenizer), model.config.text_config.vocab_size
    recorded = model.config.token_count  # None in older folders
    if tokens > rows or recorded not in (None, tokens, rows):  # rows: resized to these
        raise CheckpointError(
            f"{path}: the vocabulary does not match: the tokenizer has {tokens} tokens, but the "
            f"model {recorded or rows}; copy all files from the same model, or, after adding "
            "tokens, call model.resize_token_embeddings(len(tokenizer)) and save again"
        )


@contextlib.contextmanager
def _naming_damage(path: str | Path) -> Iterator[None]:
    """Raise errors of transformers over a damaged folder as one error that names the file."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:
        if is_debugging():
            raise
        reason = one_line(error, 200)
        where = damaged_file(Path(path)) or path
        raise CheckpointError(
            f"{where} cannot be loaded ({type(error).__name__}: {reason}); copy or save it again"
        ) from None
