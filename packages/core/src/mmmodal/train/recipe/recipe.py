"""What one training stage does, as a YAML file and key=value on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, field_validator, model_validator

from mmmodal.config import (
    Config,
    Lines,
    apply_overrides,
    read_yaml,
    suggest,
    validate,
    yaml_lines,
)
from mmmodal.errors import ConfigError
from mmmodal.limits import LimitSettings, OpenLimitSettings
from mmmodal.model.attention import Attention
from mmmodal.precision import Quantization
from mmmodal.samples.feature_cache.settings import StoredDtype
from mmmodal.train.recipe.data_source import DataSource
from mmmodal.train.recipe.files import find_recipe
from mmmodal.train.recipe.trained_parts import TrainedParts

__all__ = ["Recipe", "deepspeed_config", "load_recipe"]

PARTS_ALONE = re.compile(r"train=(?!\s*\{)")
"""An override that names parts, where it could hold the whole section."""

MAY_CHANGE = {
    "workers",
    "prefetch",
    "save_every",
    "keep_checkpoints",
    "log_every",
    "report_to",
    "made_for",
    "nan_limit",
    "note_rows",
    "out",
    "feature_cache_limit",
    "feature_cache_dtype",
}
"""What changes nothing in the result of a run that is resumed."""


class MadeFor(Config):
    """The parts of the model that a recipe is for: their names, as `mmmodal compose` takes them."""

    backbone: str
    encoders: dict[str, str] = Field(default_factory=dict)

    def command(self, out: Path) -> str:
        """Return the command that composes such a model."""
        encoders = "".join(f" --encoder {name}={part}" for name, part in self.encoders.items())
        return f"mmmodal compose {out} --backbone {self.backbone}{encoders}"


class Recipe(Config):
    """One stage of training."""

    model: Path
    """The model folder to start from; it is not changed."""

    data: tuple[DataSource, ...] = Field(min_length=1)
    """Files of records, in any format that `mmmodal data check` accepts: `a.jsonl`, a list of
    them, or `{path: a.jsonl, weight: 2}`."""

    out: Path
    """The folder of the trained model; a run that was interrupted goes on from there."""

    root: Path | None = None
    """Where relative media paths begin; each data file's own folder by default."""

    root_maps: tuple[str, ...] = ()
    """`OLD=NEW` prefixes of absolute media paths."""

    limits: OpenLimitSettings = LimitSettings()
    """How large a medium may be, as in `{image: {pixels: 200000000}}`; a larger one is refused."""

    made_for: MadeFor | None = None
    """What a model is composed of that this recipe was made for; another one is told, and runs."""

    train: TrainedParts
    """The parts that train, as a list or with `lora`; all others stay bitwise as they are."""

    learning_rate: float = Field(gt=0)
    """Of every part that `train.learning_rates` does not name."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    batch_size: int = Field(gt=0)
    """Conversations per step and process; with `packing`, packs."""

    packing: bool = False
    """Put conversations together until they fill `max_tokens`, without padding; none sees another.
    A pack may then be longer than the model's context, a conversation may not."""

    accumulation: int = Field(1, gt=0)
    """Steps whose gradients are added up before the weights change."""

    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, gt=0)
    """Stop after so many steps, whatever `epochs` says."""

    max_tokens: int = Field(gt=0)
    """The longest conversation, slots included. A longer one loses its oldest turns, which is told;
    where one turn alone is longer, that is an error that names its row."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """"auto" is bf16 on a GPU and fp32 without one."""

    attn_implementation: Attention | None = None
    """How the language model computes attention; None: sample by sample (`varlen`) with `packing`
    where that is possible, else as transformers chooses."""

    quantization: Quantization | None = None
    """Hold the language model in 4 or 8 bits; it then trains by `train.lora` alone (QLoRA)."""

    deepspeed: str = "auto"
    """none, zero2, zero2-offload, zero3 or a JSON file; "auto" is zero2-offload on a GPU."""

    gradient_checkpointing: bool = False
    workers: int | None = Field(None, ge=0)
    """Processes that read and preprocess media, for each process that trains. None: with a GPU one
    for each core that it has for itself, less its own, and at most 8; without one, none."""

    prefetch: int = Field(4, gt=0)
    """Batches that each of them prepares ahead, so that no step waits for one that takes long."""

    feature_cache: Path | None = None
    """A folder where the features of frozen towers are kept: each medium is decoded and encoded
    once, in this run or one before, and read from there. Several runs can share it."""

    feature_cache_limit: ByteSize | None = None
    """What that folder may take, such as 50GB; None: what the disk has left."""

    feature_cache_dtype: StoredDtype = "bf16"
    """The precision of those features; fp32 takes twice the room, and is exact."""

    save_every: int = Field(500, gt=0)
    """Steps between checkpoints."""

    keep_checkpoints: int = Field(2, gt=0)
    on_bad_sample: Literal["refuse", "skip"] = "refuse"
    """What becomes of a row that cannot be used: the training ends, or it is left out and named."""

    nan_limit: int = Field(10, gt=0)
    """Steps in a row whose loss is not finite before the training ends; each is skipped."""

    note_rows: bool = False
    """Write the rows of every step to `rows-RANK.jsonl` in the run's folder."""

    log_every: int = Field(10, gt=0)
    report_to: tuple[str, ...] = ()
    """Where metrics go besides `metrics.jsonl`: tensorboard, wandb, or what else transformers
    knows and is installed."""

    seed: int = 0

    @model_validator(mode="after")
    def _quantized_by_lora(self) -> Recipe:
        if self.quantization is not None and self.train.lora is None:
            raise ValueError("a quantized language model does not train itself; give train.lora")
        return self

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        several = value if isinstance(value, list | tuple) else [value]
        return [{"path": item} if isinstance(item, str | Path) else item for item in several]

    @field_validator("train", mode="before")
    @classmethod
    def _parts_alone(cls, value: Any) -> Any:
        return _as_section(value)

    @field_validator("root_maps", "report_to", mode="before")
    @classmethod
    def _one_text_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("deepspeed")
    @classmethod
    def _known_deepspeed(cls, value: str) -> str:
        try:
            deepspeed_config(value, has_gpu=True)
        except ConfigError as error:
            raise ValueError(error.problems[0].removeprefix("'deepspeed': ")) from None
        return value

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same when a run is resumed, as JSON values."""
        values = self.model_dump(mode="json", exclude=MAY_CHANGE)
        values["limits"] = self.limits.chosen()
        values["data"] = [str(source.path) for source in self.data]
        values["mix"] = [source.summary() for source in self.data]
        values["feature_cache"] = self.feature_cache and self.feature_cache_dtype
        values["train"] = sorted(self.train.parts)
        values["learning_rates"] = dict(sorted(self.train.learning_rates.items()))
        values["lora"] = self.train.lora and self.train.lora.model_dump(mode="json")
        return values


def _as_section(train: Any) -> Any:
    """Return what `train` means where only parts are named."""
    return {"parts": train} if isinstance(train, list | tuple | set | frozenset | str) else train


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its name, or a YAML file, and apply `key=value` overrides.

    Raises:
        ConfigError: all that is wrong with it, at once, each with its line in the file.
        PluginError: two plugins bring a recipe of that name.
    """
    path = find_recipe(name).path
    values = read_yaml(path)
    if "train" in values:
        values["train"] = _as_section(values["train"])  # so that train.lora.rank=8 finds a section
    given = [PARTS_ALONE.sub("train.parts=", text) for text in overrides]
    lines = _without(yaml_lines(path), [text.partition("=")[0] for text in given])
    return validate(Recipe, apply_overrides(values, given, Recipe), f"recipe {name}", lines)


def _without(lines: Lines, keys: Sequence[str]) -> Lines:
    """Leave out the lines of settings that the command line replaces."""
    replaced = [tuple(key.split(".")) for key in keys]
    return {
        place: line
        for place, line in lines.items()
        if not any(place[: len(key)] == key for key in replaced)
    }


def deepspeed_config(choice: str, has_gpu: bool) -> dict[str, Any] | None:
    """Return the DeepSpeed configuration that a recipe's `deepspeed` names.

    Raises:
        ConfigError: it names no shipped configuration and no JSON file.
    """
    if choice == "auto":
        choice = "zero2-offload" if has_gpu else "none"
    if choice == "none":
        return None
    folder = files("mmmodal.train.recipe") / "deepspeed"
    shipped = {item.name.removesuffix(".json"): item for item in folder.iterdir()}
    source: Any = shipped.get(choice, Path(choice))
    if choice not in shipped and not Path(choice).is_file():
        hint = suggest(choice, [*shipped, "none", "auto"])
        raise ConfigError(
            "recipe", [f"'deepspeed': {choice!r} is no shipped configuration or file{hint}"]
        )
    try:
        values: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    except ValueError:
        raise ConfigError(choice, ["not valid JSON"]) from None
    if values.get("zero_optimization", {}).get("stage") == 3:
        # Without it nobody has the trained weights in the end.
        values["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    return values
