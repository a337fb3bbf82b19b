"""The folder of an adapter, in PEFT's own format, with the digest of its base model.

`adapter_model.safetensors` holds the low-rank matrices, the marker rows and the projectors that
were trained with them; `adapter_config.json` names the layers; `mmmodal_adapter.json` holds the
digest. PEFT can load the first two without this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmmodal.errors import CheckpointError, MMModalError
from mmmodal.pretrained import find_file

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_NOTE",
    "ADAPTER_WEIGHTS",
    "Adapter",
    "AdapterSettings",
    "find_adapter",
    "write_adapter",
]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_NOTE = "mmmodal_adapter.json"


class AdapterSettings(BaseModel):
    """The settings of adapter_config.json that are used; other settings of PEFT are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    base_model_name_or_path: str
    r: int = Field(gt=0)
    lora_alpha: float = Field(gt=0)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(min_length=1)
    """The full names of the layers that have an adapter."""

    modules_to_save: tuple[str, ...] | None = None
    """The projectors that are stored whole."""

    trainable_token_indices: dict[str, tuple[int, ...]] | None = None
    """The ids of the stored marker rows, by the name of the embedding."""

    @property
    def marker_ids(self) -> tuple[int, ...]:
        """The ids of the marker rows, in the order in which they are stored."""
        stored = self.trainable_token_indices or {}
        return next(iter(stored.values()), ())


@dataclass(frozen=True)
class Adapter:
    """An adapter on disk."""

    source: str
    """The folder or Hub id as the user wrote it."""

    settings: AdapterSettings
    digest: str
    """The digest of the weights of its base model."""

    def base(self, given: str | Path | None = None) -> str:
        """Return the source of its base model, after comparing the digest of its weights.

        Raises:
            CheckpointError: the base model is missing, or has other weights.
        """
        from mmmodal.digests import weights_digest

        place = self.place(given)
        if weights_digest(place) != self.digest:
            raise CheckpointError(
                f"{self.source} was trained on other weights than those of {place}; "
                "name the model it was trained on"
            )
        return place

    def place(self, given: str | Path | None = None) -> str:
        """Return the source of its base model: `given`, or the one that the adapter records.

        Raises:
            CheckpointError: there is no such folder.
        """
        place = str(given) if given is not None else self.settings.base_model_name_or_path
        if not Path(place).is_dir() and (Path(place).is_absolute() or place.count("/") != 1):
            raise CheckpointError(
                f"{self.source} is an adapter of {place}, which does not exist; name the folder "
                f"with base= in Python, --base of `mmmodal merge`, or in {ADAPTER_CONFIG}"
            )
        return place

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors, by PEFT's names.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = _file(self.source, ADAPTER_WEIGHTS)
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            raise CheckpointError(f"{path} is damaged; copy or save it again") from None


def find_adapter(source: str | Path) -> Adapter | None:
    """Return the adapter at `source`, or None if that is not an adapter.

    Raises:
        CheckpointError: a file of the adapter is missing or damaged.
    """
    if not Path(source).is_dir() and (Path(source).exists() or str(source).count("/") != 1):
        return None
    if Path(source, "config.json").is_file():
        return None
    try:
        config = find_file(str(source), ADAPTER_CONFIG)
    except MMModalError:
        return None  # loading it as a model raises an error with the reason
    if config is None:
        return None
    note = _json(_file(source, ADAPTER_NOTE))
    if not isinstance(note.get("base_sha256"), str):
        raise CheckpointError(f"{source}: {ADAPTER_NOTE} lacks 'base_sha256'")
    try:
        settings = AdapterSettings.model_validate(_json(config))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise CheckpointError(
            f"{source}: {ADAPTER_CONFIG}: {where!r}: {problem['msg']}; load an adapter that "
            "`mmmodal train` did not make with PEFT"
        ) from None
    return Adapter(str(source), settings, note["base_sha256"])


def write_adapter(
    folder: Path, settings: AdapterSettings, tensors: Mapping[str, Tensor], digest: str
) -> None:
    """Write an adapter's files into an existing folder."""
    from importlib.metadata import version

    from peft import LoraConfig
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, str(folder / ADAPTER_WEIGHTS), metadata={"format": "pt"})
    values: dict[str, Any] = settings.model_dump(mode="json")
    config = LoraConfig(**values, inference_mode=True)
    config.save_pretrained(str(folder))
    note = {"base_sha256": digest, "mmmodal_version": version("mmmodal-core")}
    (folder / ADAPTER_NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def _file(source: str | Path, name: str) -> Path:
    path = find_file(str(source), name)
    if path is None:
        raise CheckpointError(
            f"{source} is an adapter, but lacks {name}; if `mmmodal train` did not make it, load "
            "it with PEFT"
        )
    return path


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not valid JSON; copy it again")
    return values
