"""The schema of a recipe, which defines a training stage, and loading it with overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ByteSize, Field, field_validator, model_validator

from mmmodal.config import (
    Config,
    Lines,
    apply_overrides,
    read_yaml,
    validate,
    yaml_lines,
)
from mmmodal.conversation.thoughts import Thoughts
from mmmodal.conversation.training_text import LearnedAnswers
from mmmodal.errors import ConfigError
from mmmodal.limits import LimitSettings, OpenLimitSettings
from mmmodal.model.attention import Attention
from mmmodal.precision import Quantization
from mmmodal.samples.feature_cache.settings import StoredDtype
from mmmodal.train.recipe.changes import MAY_CHANGE, NEW, OF_EVALUATIONS
from mmmodal.train.recipe.data_source import DataSource, HeldOutSource
from mmmodal.train.recipe.deepspeed_files import deepspeed_config
from mmmodal.train.recipe.files import find_recipe
from mmmodal.train.recipe.trained_parts import TrainedParts

__all__ = ["Recipe", "load_recipe"]

PARTS_ALONE = re.compile(r"train=(?!\s*\{)")
"""An override that names parts instead of the whole section `train`."""


class MadeFor(Config):
    """The parts of the model that a recipe is for, by the names for `mmmodal compose`."""

    backbone: str
    encoders: dict[str, str] = Field(default_factory=dict)

    def command(self, out: Path) -> str:
        """Return the command that composes such a model."""
        encoders = "".join(f" --encoder {name}={part}" for name, part in self.encoders.items())
        return f"mmmodal compose {out} --backbone {self.backbone}{encoders}"


class Recipe(Config):
    """One stage of training."""

    model: Path
    """The model folder to start from, which is never changed."""

    data: tuple[DataSource, ...] = Field(min_length=1)
    """Files of records, in any format that `mmmodal data check` accepts: `a.jsonl`, a list of
    them, or `{path: a.jsonl, weight: 2}`."""

    out: Path
    """The folder of the trained model; an interrupted run is resumed from there."""

    root: Path | None = None
    """The folder of relative media paths; by default the folder of each data file."""

    root_maps: tuple[str, ...] = ()
    """`OLD=NEW` prefixes of absolute media paths."""

    limits: OpenLimitSettings = LimitSettings()
    """Limits of media, as in `{image: {pixels: 200000000}}`; a larger medium is refused."""

    made_for: MadeFor | None = None
    """The parts that this recipe was made for; other parts are reported, and can be trained."""

    train: TrainedParts
    """The parts to train, as a list or with `lora`; all others stay bitwise unchanged."""

    learning_rate: float = Field(gt=0)
    """The learning rate of every part that `train.learning_rates` does not name."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    batch_size: int = Field(gt=0)
    """Conversations per step and process; with `packing`, packs."""

    packing: bool = False
    """Pack conversations up to `max_tokens` without padding or attention between them. A pack may
    be longer than the model's context, a conversation may not."""

    accumulation: int = Field(1, gt=0)
    """The number of batches whose gradients are summed before the weights change."""

    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, gt=0)
    """The maximum number of steps, regardless of `epochs`."""

    max_tokens: int = Field(gt=0)
    """The maximum length of a conversation, slots included. A longer one loses its oldest turns,
    with a warning; if one turn alone is longer, its row is an error."""

    thoughts: Thoughts = "keep"
    """The thoughts in answers, such as `<think>…</think>`: learn them ("keep"), or "drop" them."""

    answers: LearnedAnswers = "asked"
    """The answers to learn, where the chat template writes a finished conversation otherwise than
    the prompts that lead to it: those whose prompt stands in front of them, or "all"."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """"auto" is bf16 on a GPU and fp32 without one."""

    attn_implementation: Attention | None = None
    """The attention of the language model; None: with `packing` sample by sample (`varlen`) if
    possible, else transformers' choice."""

    quantization: Quantization | None = None
    """Quantize the language model to 4 or 8 bits; it then trains with `train.lora` only (QLoRA)."""

    deepspeed: str = "auto"
    """none, zero2, zero2-offload, zero3 or a JSON file; "auto" is zero2-offload on a GPU."""

    gradient_checkpointing: bool = False
    workers: int | None = Field(None, ge=0)
    """The number of processes that read and preprocess media, for each training process. None: with
    GPUs, the cores per GPU minus one, and at most 8; without GPUs, none."""

    prefetch: int = Field(4, gt=0)
    """The number of batches that each of them prepares in advance, so that steps do not wait."""

    feature_cache: Path | None = None
    """A folder for the features of frozen towers: each medium is decoded and encoded once, and then
    read from there. Several runs can share it."""

    feature_cache_limit: ByteSize | None = None
    """The maximum size of that folder, such as 50GB; None: the free space of the disk."""

    feature_cache_dtype: StoredDtype = "bf16"
    """The precision of those features; fp32 takes twice the space, and is exact."""

    save_every: int = Field(500, gt=0)
    """The number of steps between checkpoints."""

    keep_checkpoints: int = Field(2, gt=0)

    eval: tuple[HeldOutSource, ...] = ()
    """Files of records that are not trained on, given as `data`. The loss and the answers of some
    are evaluated before the first step, every `eval_every` steps, and after the last."""

    eval_every: int | None = Field(None, gt=0)
    """The number of steps between evaluations; None: that of `save_every`."""

    eval_rows: int = Field(200, gt=0)
    """The maximum number of records to evaluate; they are drawn once, by `seed`."""

    eval_max_new_tokens: int = Field(128, gt=0)
    """The maximum length of an answer in an evaluation."""

    evaluators: dict[str, dict[str, Any]] | None = None
    """The evaluators of answers, with their options: `{answers: {scorer: rouge-l}}`. None: all that
    are installed; `{}`: none, so that only the loss is evaluated."""

    keep_best: str | None = None
    """Write the weights of the step with the best `loss`, or another figure of the evaluations such
    as `exact`; None: those of the last step."""

    on_bad_sample: Literal["refuse", "skip"] = "refuse"
    """The handling of a row that cannot be used: stop with an error, or skip it and report it."""

    nan_limit: int = Field(10, gt=0)
    """The number of consecutive steps without a finite loss, which are skipped, until training
    stops."""

    note_rows: bool = False
    """Write the rows of each step to `rows-RANK.jsonl` in the run's folder."""

    log_every: int = Field(10, gt=0)
    report_to: tuple[str, ...] = ()
    """Destinations of metrics besides `metrics.jsonl`: tensorboard, wandb, or others that
    transformers supports and that are installed."""

    shuffle_window: int = Field(1024, gt=0)
    """The number of conversations that are shuffled and packed together, of streamed data. Each
    process reads 12 such windows in turn."""

    seed: int = 0

    @property
    def streams(self) -> bool:
        """Whether any data are streamed."""
        return any(source.streaming for source in self.data)

    @property
    def evaluates_every(self) -> int:
        """The number of steps between evaluations."""
        return self.eval_every or self.save_every

    @model_validator(mode="after")
    def _streams_in_steps(self) -> Recipe:
        if self.streams and self.max_steps is None:
            raise ValueError(
                "set max_steps: the number of records of streamed data is not known beforehand"
            )
        if self.streams and self.feature_cache is not None:
            raise ValueError(
                "feature_cache needs a list of all media, which streamed data have not; remove "
                "feature_cache, or streaming"
            )
        return self

    @model_validator(mode="after")
    def _quantized_by_lora(self) -> Recipe:
        if self.quantization is not None and self.train.lora is None:
            raise ValueError("a quantized language model cannot be trained whole; set train.lora")
        return self

    @model_validator(mode="after")
    def _evaluates_what_it_keeps(self) -> Recipe:
        if self.keep_best is not None and not self.eval:
            raise ValueError("keep_best needs eval, the records to evaluate each step by")
        return self

    @field_validator("keep_best")
    @classmethod
    def _without_prefix(cls, value: str | None) -> str | None:
        """Return a metric as evaluators name it; `metrics.jsonl` and transformers add `eval_`."""
        return value and value.removeprefix("eval_")

    @field_validator("data", "eval", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        several = value if isinstance(value, list | tuple) else [value]
        return [{"path": item} if isinstance(item, str | Path) else item for item in several]

    @field_validator("eval", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return () if value is None else value

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
        """Return the values that must be equal when a run is resumed, as JSON values."""
        values = self.model_dump(mode="json", exclude=MAY_CHANGE)
        values["limits"] = self.limits.chosen()
        values["data"] = [str(source.path) for source in self.data]
        values["mix"] = [source.summary() for source in self.data]
        values["eval"] = [source.summary() for source in self.eval]
        values["feature_cache"] = self.feature_cache and self.feature_cache_dtype
        values["train"] = sorted(self.train.parts)
        values["learning_rates"] = dict(sorted(self.train.learning_rates.items()))
        for key in NEW:
            unused = key in OF_EVALUATIONS and not self.eval
            if unused or values[key] == type(self).model_fields[key].default:
                values[key] = None
        values["lora"] = self.train.lora and self.train.lora.model_dump(mode="json")
        return values


def _as_section(train: Any) -> Any:
    """Return the section for a `train` that only names parts."""
    return {"parts": train} if isinstance(train, list | tuple | set | frozenset | str) else train


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe by its name, or from a YAML file, with `key=value` overrides.

    Raises:
        ConfigError: lists all problems, with their lines in the file.
        PluginError: two plugins provide a recipe of this name.
    """
    path = find_recipe(name).path
    values = read_yaml(path)
    if "train" in values:
        values["train"] = _as_section(values["train"])  # train.lora.rank=8 needs a section
    given = [PARTS_ALONE.sub("train.parts=", text) for text in overrides]
    lines = _without(yaml_lines(path), [text.partition("=")[0] for text in given])
    return validate(Recipe, apply_overrides(values, given, Recipe), f"recipe {name}", lines)


def _without(lines: Lines, keys: Sequence[str]) -> Lines:
    """Return lines without those of settings that the command line replaces."""
    replaced = [tuple(key.split(".")) for key in keys]
    return {
        place: line
        for place, line in lines.items()
        if not any(place[: len(key)] == key for key in replaced)
    }
