"""The known facts about a model, from its folder and the folders it was trained from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmmodal.adapters.folder import Adapter, find_adapter
from mmmodal.downloads import is_hub_id
from mmmodal.plugins import registry
from mmmodal.train.run.folder import METRICS, NOTED, RUN

__all__ = ["Facts", "PartFact", "StageFact", "read_facts"]


@dataclass(frozen=True)
class PartFact:
    """One part of a model; None means unknown."""

    role: str
    """`language model`, `image encoder`, `image projector`."""

    name: str
    source: str | None = None
    """The Hub id of the source of its weights."""

    package: str | None = None
    """The package that provides it, with the version that composed the model."""

    licence: str | None = None


@dataclass(frozen=True)
class StageFact:
    """One stage of training."""

    recipe: Mapping[str, Any]
    """The record that the run wrote at its beginning."""

    metrics: tuple[Mapping[str, Any], ...]
    """The log, oldest rows first."""

    @property
    def losses(self) -> list[float]:
        """The losses, oldest first."""
        return [float(row["loss"]) for row in self.metrics if "loss" in row]

    @property
    def steps(self) -> int | None:
        """The number of steps."""
        return max((int(row["step"]) for row in self.metrics if "step" in row), default=None)

    @property
    def data(self) -> list[str]:
        """The names of the data files, without their folders."""
        return [Path(str(path)).name for path in self.recipe.get("data", [])]


@dataclass(frozen=True)
class Facts:
    """All facts of a card."""

    modalities: tuple[str, ...]
    parts: tuple[PartFact, ...]
    stages: tuple[StageFact, ...]
    """The stages of training, oldest first."""

    results: Mapping[str, Any] | None
    """Measured accuracies by task, as `mmmodal quickstart` writes them."""

    transformers_version: str | None
    adapter: Adapter | None = None

    @property
    def packages(self) -> list[str]:
        """The packages that provide the parts."""
        names = {part.package.split(" ")[0] for part in self.parts if part.package}
        return sorted({"mmmodal-core", *names})


def read_facts(folder: Path) -> Facts:
    """Return the known facts about the model or adapter in `folder`."""
    adapter = find_adapter(folder)
    place = Path(adapter.settings.base_model_name_or_path) if adapter else folder
    config = _read(place / "config.json") or {}
    return Facts(
        modalities=tuple(config.get("modality_names", ())),
        parts=tuple(_parts(config)),
        stages=tuple(reversed(list(_stages(folder)))),
        results=_results(folder),
        transformers_version=config.get("transformers_version"),
        adapter=adapter,
    )


def _parts(config: Mapping[str, Any]) -> Iterator[PartFact]:
    text = config.get("text_config")
    if isinstance(text, Mapping):
        source = text.get("_name_or_path")
        name = next(iter(text.get("architectures") or ()), text.get("model_type", "unknown"))
        hub_id = source if is_hub_id(source) else None
        yield PartFact("language model", name, hub_id, None, _backbone_licence(hub_id))
    for modality in config.get("modality_names", ()):
        yield _encoder(modality, config[f"{modality}_config"])
        projector = config[f"{modality}_projector_config"]
        package = _package(projector)
        yield PartFact(f"{modality} projector", projector["projector"], None, package, None)


def _encoder(modality: str, entry: Mapping[str, Any]) -> PartFact:
    source = entry.get("_name_or_path")
    hub_id = source if is_hub_id(source) else None
    found = registry().get("encoders", entry["encoder"], entry.get("package") or None)
    # The card of a preset describes the preset's own source, not another source it may have read.
    card = found.part.card if found and hub_id and found.part.source == hub_id else None
    licence = card.licence if card else None
    return PartFact(f"{modality} encoder", entry["encoder"], hub_id, _package(entry), licence)


def _backbone_licence(source: str | None) -> str | None:
    """Return the licence of a source if a preset for that source states it."""
    for _, provided in registry().provided("backbones"):
        card = getattr(provided.part, "card", None)
        if source and card is not None and provided.part.source == source:
            return str(card.licence)
    return None


def _package(entry: Mapping[str, Any]) -> str | None:
    return (
        f"{entry['package']} {entry.get('version', '')}".strip() if entry.get("package") else None
    )


def _stages(folder: Path) -> Iterator[StageFact]:
    """Yield the stages, newest first, as far as the folders they started from still exist."""
    seen: set[Path] = set()
    place = folder
    while place.resolve() not in seen:
        seen.add(place.resolve())
        recipe = _read(place / RUN / NOTED)
        if recipe is None:
            return
        yield StageFact(recipe, tuple(_rows(place / RUN / METRICS)))
        place = Path(str(recipe.get("model", "")))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # an incomplete line of a killed process
        if isinstance(row, dict):
            yield row


def _results(folder: Path) -> Mapping[str, Any] | None:
    """Return measured results: from the folder, or the place where `mmmodal quickstart` writes."""
    places = [folder / "results.json"]
    if folder.resolve().name == "model" and (folder.resolve().parent / "quickstart.json").is_file():
        places.append(folder.resolve().parent / "results.json")
    for place in places:
        tasks = (_read(place) or {}).get("tasks")
        if isinstance(tasks, dict) and all(_is_result(entry) for entry in tasks.values()):
            return tasks
    return None


def _is_result(entry: Any) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(key), int | float) for key in ("accuracy", "n")
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
