"""Let lmms-eval's cache of responses tell models by their weights.

lmms-eval keys a response by the text of the model arguments, the task and the number of the
document. A folder that was trained again would get the answers of the model before.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from pathlib import Path
from typing import Any

from mmmodal.authoring.parts import CheckpointError, ConfigError
from mmmodal.authoring.pretrained import checkpoint_code, checkpoint_files
from mmmodal_lmms_eval.arguments import MODEL_ID

__all__ = ["identity", "key_by_weights"]

NEEDED = {"model", "model_args"}
"""The parameters of lmms-eval's function by which it is told the model."""


def identity(source: str) -> dict[str, Any]:
    """Return what answers of a model folder depend on: its files and the code that runs them.

    Raises:
        CheckpointError: there is no such model, or a file cannot be read.
    """
    files = checkpoint_files(source)
    digests = {name: _sha256(path) for name, path in files.items()}
    return {"files": digests, "code": checkpoint_code(source)}


def key_by_weights() -> None:
    """Have lmms-eval key the responses of our models by `identity` too, from now on.

    Raises:
        ConfigError: this version of lmms-eval keeps responses in another way.
    """
    from lmms_eval.caching.response_cache import ResponseCache

    create = ResponseCache.create
    if hasattr(create, "__wrapped__"):
        return
    if not inspect.signature(create).parameters.keys() >= NEEDED:
        reason = "its cache of responses has changed; install 0.7.3, which this package knows"
        raise ConfigError("lmms-eval", [reason])

    @functools.wraps(create)
    def keyed(cache_root: str, *, model: Any = "", model_args: Any = "", **others: Any) -> Any:
        return create(cache_root, model=model, model_args=_keyed(model, model_args), **others)

    ResponseCache.create = keyed


def _keyed(model: Any, model_args: Any) -> Any:
    """Return what the cache takes for the model arguments."""
    from lmms_eval.utils import simple_parse_args_string

    if isinstance(model, str):
        if model != MODEL_ID:
            return model_args
        given = simple_parse_args_string(model_args)
    elif (arguments := getattr(model, "arguments", None)) is not None:
        given = arguments.model_dump()
    else:
        return model_args
    return {**given, "identity": identity(str(given["model"]))}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"{path} cannot be read ({reason})") from None
