"""Select the weights to train by part, set their rates, save them, and add them to a model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from mmmodal.adapters.attaching import attach
from mmmodal.adapters.lora import Lora
from mmmodal.adapters.targets import target_layers
from mmmodal.config import suggest
from mmmodal.errors import CheckpointError, ConfigError
from mmmodal.model.markers import MarkerEmbedding
from mmmodal.model.modeling import MMModalForConditionalGeneration

__all__ = [
    "add_trained",
    "check_rates",
    "choose",
    "frozen_towers",
    "marker_row_ids",
    "part_of",
    "random_and_frozen",
    "read_trained",
    "section_of_part",
    "set_rates",
    "trained_counts",
    "trained_state",
    "write_trained",
]

FILE = "trained.safetensors"


def choose(
    model: MMModalForConditionalGeneration, parts: Collection[str], lora: Lora | None = None
) -> None:
    """Make the named parts trainable, attach adapters to the targets of `lora`, freeze the rest.

    If the language model is frozen, `markers` trains its rows for markers only, as an overlay.

    Raises:
        ConfigError: this model lacks a target of `lora`, or the modality of a part.
    """
    model.requires_grad_(False)
    if lora is not None:
        layers = target_layers(model, lora)
        attach(model, layers, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout)
    base, names = model.model, model.config.modality_names
    for name in _chosen(parts, "projectors", names):
        base.projector(name).requires_grad_(True)
    for name in _chosen(parts, "towers", names):
        base.tower(name).requires_grad_(True)
    if "language_model" in parts:
        base.language_model.requires_grad_(True)
        model.lm_head.requires_grad_(True)
    elif "markers" in parts and any(map(model.config.learned_ids, names)):
        base.marker_embedding = _overlay(model)


def check_rates(model: MMModalForConditionalGeneration, rates: Mapping[str, float]) -> None:
    """Check that the model has the modalities whose parts have learning rates of their own.

    Raises:
        ConfigError: it lacks one.
    """
    for section in ("projectors", "towers"):
        _chosen(rates, section, model.config.modality_names, "train.learning_rates")


def _chosen(
    parts: Collection[str], section: str, modalities: Sequence[str], key: str = "train.parts"
) -> list[str]:
    """Return the modalities whose `towers` or `projectors` are among the named parts.

    Raises:
        ConfigError: a name in the recipe's `key` is of a modality that the model lacks.
    """
    single = {part.partition(".")[2] for part in parts if part.startswith(f"{section}.")}
    for name in sorted(single - {*modalities}):
        hint = suggest(name, modalities)
        raise ConfigError("recipe", [f"{key!r}: the model has no modality {name!r}{hint}"])
    return [name for name in modalities if section in parts or name in single]


def _overlay(model: MMModalForConditionalGeneration) -> MarkerEmbedding:
    return MarkerEmbedding(marker_row_ids(model), model.get_input_embeddings())


def marker_row_ids(model: MMModalForConditionalGeneration) -> list[int]:
    """Return the ids of the rows that `markers` trains, in the order of the overlay."""
    config = model.config
    return [id_ for name in config.modality_names for id_ in config.learned_ids(name)]


def trained_counts(model: MMModalForConditionalGeneration) -> dict[str, int]:
    """Return the number of trainable parameters of each part; adapters as `<part> (LoRA)`."""
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = part_of(name)
            size = getattr(parameter, "ds_numel", parameter.numel())  # ZeRO-3 leaves it empty
            counts[part] = counts.get(part, 0) + int(size)
    return counts


def frozen_towers(model: MMModalForConditionalGeneration) -> list[str]:
    """Return the modalities whose tower is not trained, neither whole nor by adapters."""
    towers = {name: model.model.tower(name) for name in model.config.modality_names}
    return [n for n, t in towers.items() if not any(p.requires_grad for p in t.parameters())]


def random_and_frozen(model: MMModalForConditionalGeneration) -> Iterator[str]:
    """Yield a note for each tower that has random weights and is not trained."""
    untrained = set(model.config.untrained_towers())
    for name in filter(untrained.__contains__, frozen_towers(model)):
        yield (
            f"the tower of {name!r} has random weights, as its encoder was composed without a "
            f"source, and stays as it is; add towers.{name} to train.parts to train it"
        )


def part_of(name: str) -> str:
    """Return the part of a parameter; `<part> (LoRA)` for that of an adapter."""
    part = {"marker_embedding": "markers"}.get(name.split(".")[1], name.split(".")[1])
    if name.startswith("lm_head."):
        part = "language_model"
    return f"{part} (LoRA)" if ".lora_" in name else part


def trained_state(
    model: MMModalForConditionalGeneration, state: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return the trainable weights by name, on the CPU.

    Args:
        model: the model, unwrapped.
        state: its gathered weights, if they are partitioned over ranks (ZeRO-3).
    """
    source = state if state is not None else dict(model.named_parameters())
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {name: source[name].detach().to("cpu").contiguous().clone() for name in names}


def write_trained(state: Mapping[str, Tensor], folder: Path) -> None:
    """Write trained weights to a checkpoint folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(state), str(folder / FILE), metadata={"format": "pt"})


def read_trained(folder: Path) -> dict[str, Tensor]:
    """Return the trained weights of a checkpoint folder.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = folder / FILE
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors has its own error class, which differs by version
        reason = "is missing" if not path.exists() else f"is damaged ({type(error).__name__})"
        raise CheckpointError(
            f"{path} {reason}; remove {folder} to resume from an older checkpoint"
        ) from None


@torch.no_grad()
def add_trained(model: MMModalForConditionalGeneration, state: Mapping[str, Tensor]) -> None:
    """Copy trained weights into a model; marker rows go into its embedding matrix."""
    overlay = {k: v for k, v in state.items() if k.startswith("model.marker_embedding.")}
    parameters = dict(model.named_parameters())
    for name, value in state.items():
        if name not in overlay:
            parameters[name].copy_(value.to(parameters[name].dtype))
    if overlay:
        rows = _overlay(model)
        rows.rows.weight.copy_(
            overlay["model.marker_embedding.rows.weight"].to(rows.rows.weight.dtype)
        )
        weight: Any = model.get_input_embeddings().weight
        rows.fold_into(weight)


def set_rates(optimizer: Optimizer, model: nn.Module, rates: Mapping[str, float]) -> None:
    """Split the groups of an optimizer before its first step by part, each with its own rate.

    Schedules multiply the rate of each group, so they need no change, also under DeepSpeed.

    Args:
        optimizer: the optimizer; parts that `rates` does not name keep their rate.
        model: the model with the optimizer's parameters.
        rates: the rates of projectors, markers, language_model and towers, or of one modality's,
            as in `towers.image`.
    """
    owner = {id(p): part_of(name) for name, p in model.named_parameters()}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        parts: dict[str, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            parts.setdefault(owner[id(parameter)], []).append(parameter)
        for rate, parameters in _by_rate(parts, rates, group["lr"]):
            groups.append({**group, "params": parameters, "lr": rate})
    optimizer.param_groups = groups


def _by_rate(
    parts: Mapping[str, list[nn.Parameter]], rates: Mapping[str, float], usual: float
) -> Iterator[tuple[float, list[nn.Parameter]]]:
    """Yield the parameters of each section, or of one modality's part with a rate of its own."""
    groups: dict[str, list[nn.Parameter]] = {}
    for part, parameters in parts.items():
        section, single = section_of_part(part), single_of_part(part)
        groups.setdefault(single if single in rates else section, []).extend(parameters)
    for name, parameters in groups.items():
        yield rates.get(name, usual), parameters


def section_of_part(part: str) -> str:
    """Return the name of a part in recipes: `projectors` for `image_projector (LoRA)`."""
    name = part.removesuffix(" (LoRA)")
    for ending, section in (("_projector", "projectors"), ("_tower", "towers")):
        if name.endswith(ending):
            return section
    return name


def single_of_part(part: str) -> str:
    """Return the name of one modality's part in recipes: `towers.image` for `image_tower`."""
    name, section = part.removesuffix(" (LoRA)"), section_of_part(part)
    return section if section == name else f"{section}.{name.rpartition('_')[0]}"
