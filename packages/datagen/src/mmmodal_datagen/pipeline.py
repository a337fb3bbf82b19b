"""`pipeline.yaml`: steps, their inputs and models, and the folder of the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mmmodal.authoring.parts import (
    Config,
    ConfigError,
    PartError,
    PluginError,
    apply_overrides,
    read_yaml,
    suggest,
    validate,
)
from mmmodal_datagen.contracts import Generator
from mmmodal_datagen.fingerprints import digest
from mmmodal_datagen.parts import BACKENDS, find
from mmmodal_datagen.pipeline_files import find_pipeline

__all__ = ["Backend", "Execution", "Pipeline", "PlannedStep", "Step", "load_pipeline", "resolve"]

NAME = r"^\w[\w.+-]*$"
FINGERPRINT_LENGTH = 12  # hexadecimal digits


class Backend(Config):
    """A model that steps call: its kind, backend and options."""

    language_model: str | None = None
    """The name of a language model backend: `openai`, `transformers`."""

    recogniser: str | None = None
    translator: str | None = None
    options: dict[str, Any] = Field({})

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Backend:
        if len([kind for kind in BACKENDS if getattr(self, kind)]) != 1:
            raise ValueError(f"name one backend, under one of {', '.join(BACKENDS)}")
        return self

    @property
    def kind(self) -> str:
        """The kind of the model: `language_model`."""
        return next(kind for kind in BACKENDS if getattr(self, kind))

    @property
    def name(self) -> str:
        """The name of the backend."""
        return str(getattr(self, self.kind))


class Step(Config):
    """One step of the pipeline."""

    step: str | None = None
    """The name of the generator; by default the step's own name."""

    inputs: tuple[str, ...] = ()
    """The steps whose rows it reads."""

    use: dict[str, str] = Field({})
    """The model it calls, where there are several of a kind: `{language_model: writer}`."""

    preset: str | None = None
    """A named set of options; `options` override it."""

    options: dict[str, Any] = Field({})

    @field_validator("inputs", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Execution(Config):
    """Where shards run. No setting here changes a row."""

    kind: Literal["local", "rank", "ray"] = "local"
    """local: this machine; rank: each process does a share (torchrun, SLURM); ray: a cluster."""

    processes: int = Field(1, ge=1)
    """Processes of `local`; one is enough for an endpoint."""

    retries: int = Field(3, ge=0)
    """How often a shard is retried after its process died."""

    patience_s: float = Field(86_400, gt=0)
    """How long `rank` waits for the shards of other processes."""

    address: str | None = None
    """The cluster of `ray`; by default that of the environment, or a new one."""

    gpus: float = Field(0, ge=0)
    """GPUs that `ray` reserves for a shard."""

    cpus: float = Field(1, ge=0)
    """Cores that `ray` reserves for a shard."""


class Pipeline(Config):
    """A whole pipeline."""

    out: Path
    """The folder of all results; an interrupted run continues from the files in it."""

    root: Path = Path(".")
    """The folder that paths of media are relative to. It contains `out`, as clips are media too."""

    seed: int = 0
    shard_rows: int = Field(256, ge=1)
    """Rows that are read into one shard: at most so many are lost when a process dies."""

    concurrency: int = Field(64, ge=1)
    """Rows that all processes of a machine work on at once."""

    splits: dict[str, float] = Field({})
    """The share of each split, such as `{train: 0.98, test: 0.02}`; a medium is in one split."""

    execution: Execution = Execution()
    backends: dict[str, Backend] = Field({})
    steps: dict[str, Step] = Field(min_length=1)
    """By name, in order; `inputs` name earlier steps."""

    @field_validator("splits")
    @classmethod
    def _shares_are_positive(cls, value: dict[str, float]) -> dict[str, float]:
        if any(share <= 0 for share in value.values()):
            raise ValueError("every share is above 0")
        return value


@dataclass(frozen=True)
class PlannedStep:
    """A checked step: its generator, models, inputs and fingerprint."""

    name: str
    generator: Generator
    models: Mapping[str, str]
    """The name in `backends` of each model it needs, by kind."""

    inputs: tuple[str, ...]
    fingerprint: str


def load_pipeline(name: str, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a shipped pipeline or a YAML file and apply `key=value` overrides.

    Raises:
        ConfigError: lists every problem.
    """
    values = apply_overrides(read_yaml(find_pipeline(name)), overrides, Pipeline)
    pipeline = validate(Pipeline, values, f"pipeline {name}")
    resolve(pipeline)
    return pipeline


def resolve(pipeline: Pipeline) -> list[PlannedStep]:
    """Return the checked steps of a pipeline; no model is loaded, and no file is opened.

    Raises:
        ConfigError: lists every step and backend that cannot be built, with the reason.
    """
    problems: list[str] = []
    identities = dict(_identities(pipeline, problems))
    planned: dict[str, PlannedStep] = {}
    for name, entry in pipeline.steps.items():
        step = _planned(name, entry, pipeline, identities, planned, problems)
        if step is not None:
            planned[name] = step
    if not pipeline.out.resolve().is_relative_to(pipeline.root.resolve()):
        problems.append(
            f"'out': {pipeline.out} is outside of `root` ({pipeline.root}); choose one in it"
        )
    if problems:
        raise ConfigError("pipeline", problems)
    return list(planned.values())


def build_backend(entry: Backend) -> Any:
    """Return the backend of a model; it loads nothing before its first call.

    Raises:
        ConfigError: its options are not valid.
        PartError: there is no such backend.
    """
    part = find(BACKENDS[entry.kind], entry.name)
    return part(validate(part.Options, entry.options, entry.name))


def _identities(pipeline: Pipeline, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in pipeline.backends.items():
        where = f"'backends.{name}"
        try:
            backend = build_backend(entry)
            yield name, {"backend": entry.name, **backend.identity()}
        except ConfigError as error:
            problems += [f"{where}.options': {problem}" for problem in error.problems]
        except (PartError, PluginError) as error:
            problems.append(f"{where}': {error}")


def _planned(
    name: str,
    entry: Step,
    pipeline: Pipeline,
    identities: Mapping[str, dict[str, Any]],
    before: Mapping[str, PlannedStep],
    problems: list[str],
) -> PlannedStep | None:
    found: list[str] = []
    for source in entry.inputs:
        if source not in list(pipeline.steps)[: list(pipeline.steps).index(name)]:
            hint = suggest(source, before)
            found.append(f"'inputs': {source!r} is no step above{hint}")
    generator = _generator(name, entry, found)
    models = _models(entry, generator, pipeline, found) if generator else {}
    problems += [f"'steps.{name}': {problem}" for problem in found]
    if found or generator is None or not all(source in before for source in entry.inputs):
        return None
    print_of = {
        "step": generator.name,
        "version": generator.version,
        "options": generator.identity(),
        "models": {kind: identities.get(model, {}) for kind, model in models.items()},
        "seed": pipeline.seed,
        "splits": pipeline.splits if generator.uses_splits else {},
        "inputs": [before[source].fingerprint for source in entry.inputs],
    }
    fingerprint = digest(print_of)[:FINGERPRINT_LENGTH]
    return PlannedStep(name, generator, models, entry.inputs, fingerprint)


def _generator(name: str, entry: Step, problems: list[str]) -> Generator | None:
    try:
        part: type[Generator] = find("generators", entry.step or name)
    except (PartError, PluginError) as error:
        problems.append(str(error))
        return None
    if entry.preset is not None and entry.preset not in part.presets:
        problems.append(f"unknown preset {entry.preset!r}{suggest(entry.preset, part.presets)}")
        return None
    preset = part.presets[entry.preset] if entry.preset else {}
    try:
        return part(validate(part.Options, {**preset, **entry.options}, part.name))
    except ConfigError as error:
        problems += [f"'options': {problem}" for problem in error.problems]
        return None


def _models(
    entry: Step, generator: Generator, pipeline: Pipeline, problems: list[str]
) -> dict[str, str]:
    chosen = {}
    for kind in generator.models():
        there = [name for name, backend in pipeline.backends.items() if backend.kind == kind]
        wanted = entry.use.get(kind)
        if wanted is not None and wanted not in there:
            problems.append(f"'use': {wanted!r} is no {kind} of `backends`{suggest(wanted, there)}")
        elif wanted is None and len(there) != 1:
            hint = f"set 'use' to one of {', '.join(there)}" if there else "add one to `backends`"
            problems.append(f"it needs a {kind}: {hint}")
        else:
            chosen[kind] = wanted or there[0]
    if unneeded := sorted(entry.use.keys() - set(generator.models())):
        problems.append(f"'use': {generator.name} calls no {unneeded[0]}")
    return chosen
