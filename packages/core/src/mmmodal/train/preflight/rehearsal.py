"""Run the parts of a recipe's model on its first media, before the training does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import nn

from mmmodal.contracts.building import build_projection, build_tower
from mmmodal.digests import weight_files
from mmmodal.errors import ContractError, PartError, RecordError
from mmmodal.model.configuration import MMModalConfig
from mmmodal.model.examination import examine, examine_projection_training, examine_training
from mmmodal.model.modeling import MMModalModel

if TYPE_CHECKING:
    from mmmodal.samples.collation import Sample
    from mmmodal.train.preflight.excerpt import Excerpt

__all__ = ["rehearse"]

RECORDS = 4
"""The number of records whose media are preprocessed again."""

ITEMS = 3
"""The number of items of a modality on which its networks run."""

LARGEST = 2_000_000_000
"""The number of parameters of a tower above which it does not run; it would take minutes."""


def rehearse(
    folder: str, dataset: Excerpt, samples: Mapping[int, Sample], trained: Iterable[str]
) -> Iterator[str]:
    """Yield the problems of the parts of a model folder, at most one for each part.

    Args:
        folder: the model folder.
        dataset: the records.
        samples: some of them by number, prepared.
        trained: the names of the parts that will be trained, such as `image_tower`.
    """
    seen = set()
    for index in list(samples)[:RECORDS]:
        try:
            dataset.check_encoders(index)
        except RecordError as error:
            if error.reason not in seen:
                yield str(error)
            seen.add(error.reason)
    config = MMModalConfig.from_pretrained(folder)
    with torch.device("meta"):
        width = MMModalModel(config).width
    for name in config.modality_names:
        items = [item for sample in samples.values() for item in sample.features.get(name, ())]
        try:
            _rehearse_modality(folder, config, name, width, _unlike(items), set(trained))
        except ContractError as error:
            yield str(error)


def _unlike(items: Sequence[Any]) -> list[Any]:
    """Return the first items of unlike types or shapes; an empty list if there are fewer than 2."""
    kinds: dict[str, Any] = {}
    for item in items:
        kinds.setdefault(str(getattr(item, "shape", type(item))), item)
    chosen = [*kinds.values(), *items][:ITEMS]
    return chosen if len(chosen) > 1 else []


def _rehearse_modality(
    folder: str,
    config: MMModalConfig,
    name: str,
    width: int,
    items: Sequence[Any],
    trained: set[str],
) -> None:
    """Run the parts of one modality, with the weights of the folder; `width` is a token's.

    Raises:
        ContractError: a part does not keep its contract.
    """
    encoder, projector = config.encoder_of(name), config.projector_of(name)
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in build_tower(encoder).parameters())
    if size > LARGEST:
        return
    with torch.random.fork_rng():
        tower = build_tower(encoder)
        projection = build_projection(projector, encoder.width, width)
    _fill(folder, {f"model.{name}_tower.": tower, f"model.{name}_projector.": projection})
    features = examine(encoder, tower, projector, projection, width, items)
    if f"{name}_tower" in trained:
        examine_training(encoder, tower, items)
    if f"{name}_projector" in trained:
        examine_projection_training(projector, projection, features)


@torch.no_grad()
def _fill(folder: str, networks: dict[str, nn.Module]) -> None:
    """Copy the weights of a folder into networks by the prefixes of their names."""
    try:
        files = weight_files(folder)
    except PartError:
        return  # a folder without weights is checked by its shapes alone
    states = {prefix: network.state_dict() for prefix, network in networks.items()}
    for path in files:
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                for prefix, state in states.items():
                    own = state.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
                    if own is not None:
                        own.copy_(file.get_tensor(name))
